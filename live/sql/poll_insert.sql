-- Opens a poll. Raises a unique violation while another of the show is open, a foreign key violation without a show.
-- In: $1 poll_id, $2 show_id, $3 question, $4 options, $5 hide_below, $6 by_id, $7 how long in ms or null.
-- Out: nothing. Caller: live/polls.py, Polls.open
INSERT INTO polls (poll_id, show_id, question, options, hide_below, by_id, opened_at_ms, closes_at_ms)
SELECT $1, $2, $3, $4, $5, $6, now.ms, now.ms + $7::bigint FROM (SELECT clock_ms() AS ms) AS now
