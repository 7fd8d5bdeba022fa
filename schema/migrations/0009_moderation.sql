-- migrate:up

-- What the staff decided about a show's chat: its rules, who may not speak, and the message on top.

CREATE TABLE chat_rules (
    show_id    text PRIMARY KEY REFERENCES shows,
    links_from text NOT NULL DEFAULT 'moderator' CHECK (links_from IN ('viewer', 'moderator', 'host', 'operator')),
    languages  text[] NOT NULL DEFAULT '{english}',  -- whose lists of rude words count
    blocked    text[] NOT NULL DEFAULT '{}',         -- the shop's own words
    allowed    text[] NOT NULL DEFAULT '{}'          -- words that are none of those, whatever a list says
);

-- One a person and show; a new one takes the place of the old one, and the audit log keeps both.
CREATE TABLE sanctions (
    show_id     text NOT NULL REFERENCES shows,
    account_id  text NOT NULL,
    name        text NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('mute', 'shadow_ban', 'ban')),
    until_ms    bigint,                              -- null: until it is lifted
    reason      text NOT NULL DEFAULT '',
    by_id       text NOT NULL,
    at_ms       bigint NOT NULL,
    PRIMARY KEY (show_id, account_id)
);
CREATE INDEX sanctions_newest ON sanctions (show_id, at_ms DESC, account_id);

CREATE TABLE chat_pins (
    show_id  text PRIMARY KEY REFERENCES shows,
    message  text NOT NULL                           -- JSON: schema.wire.Chat
);
