-- What is announced in a show now. In: $1 show_id. Out: one row or none.
-- Caller: live/announcements.py, announced_in
SELECT announcement_id, text, at_ms, until_ms FROM announcements
WHERE show_id = $1 AND ended_at_ms IS NULL AND (until_ms IS NULL OR until_ms > clock_ms())
