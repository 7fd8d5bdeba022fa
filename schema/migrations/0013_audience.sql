-- migrate:up

-- What an audience does beside chatting and buying: it votes in polls and asks questions; and what it is announced.

CREATE TABLE polls (
    poll_id       text PRIMARY KEY,
    show_id       text NOT NULL REFERENCES shows,
    question      text NOT NULL,
    options       text[] NOT NULL CHECK (cardinality(options) BETWEEN 2 AND 6),
    hide_below    int NOT NULL CHECK (hide_below >= 0),
    by_id         text NOT NULL,
    opened_at_ms  bigint NOT NULL,
    closes_at_ms  bigint,                            -- null: until somebody closes it
    closed_at_ms  bigint
);
CREATE UNIQUE INDEX polls_one_open ON polls (show_id) WHERE closed_at_ms IS NULL;
CREATE INDEX polls_newest ON polls (show_id, opened_at_ms DESC, poll_id);

-- One vote an account; the later one counts.
CREATE TABLE poll_votes (
    poll_id     text NOT NULL REFERENCES polls,
    account_id  text NOT NULL,
    option      smallint NOT NULL CHECK (option BETWEEN 0 AND 5),
    at_ms       bigint NOT NULL,
    PRIMARY KEY (poll_id, account_id)
);
CREATE INDEX poll_votes_counted ON poll_votes (poll_id, option);

-- How many voted for each option of a poll, in their order. Caller: live/sql/polls_page.sql, live/sql/polls_now.sql
CREATE FUNCTION poll_counts(one polls) RETURNS bigint[] LANGUAGE sql STABLE AS $$
    SELECT array(
        SELECT (SELECT count(*) FROM poll_votes v WHERE v.poll_id = one.poll_id AND v.option = o - 1)
        FROM generate_subscripts(one.options, 1) AS o ORDER BY o
    );
$$;

CREATE TABLE questions (
    question_id     text PRIMARY KEY,
    show_id         text NOT NULL REFERENCES shows,
    account_id      text NOT NULL,
    name            text NOT NULL,
    text            text NOT NULL,
    state           text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'answered', 'dismissed')),
    shadowed        boolean NOT NULL DEFAULT false,  -- by one under a shadow ban: nobody else sees it
    asked_at_ms     bigint NOT NULL,
    answered_at_ms  bigint,
    captured_at_ms  bigint                           -- of the picture in which the answer began
);
CREATE INDEX questions_of_show ON questions (show_id, state, asked_at_ms);
CREATE INDEX questions_of_account ON questions (show_id, account_id) WHERE state = 'open';

CREATE TABLE question_votes (
    question_id  text NOT NULL REFERENCES questions,
    account_id   text NOT NULL,
    PRIMARY KEY (question_id, account_id)
);

CREATE TABLE announcements (
    announcement_id  text PRIMARY KEY,
    show_id          text NOT NULL REFERENCES shows,
    text             text NOT NULL,
    by_id            text NOT NULL,
    at_ms            bigint NOT NULL,
    until_ms         bigint,                         -- null: until it is taken away
    ended_at_ms      bigint
);
CREATE UNIQUE INDEX announcements_one ON announcements (show_id) WHERE ended_at_ms IS NULL;
