-- Announces something in a show where nothing is announced. Raises a foreign key violation without a show.
-- In: $1 announcement_id, $2 show_id, $3 text, $4 by_id, $5 how long in ms or null. Out: the row.
-- Caller: live/announcements.py, Announcements.announce, which holds the show's turn
INSERT INTO announcements (announcement_id, show_id, text, by_id, at_ms, until_ms)
SELECT $1, $2, $3, $4, now.ms, now.ms + $5::bigint FROM (SELECT clock_ms() AS ms) AS now
RETURNING announcement_id, text, at_ms, until_ms
