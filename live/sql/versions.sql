-- The versions of the latest shows.
-- In: $1 how many. Out: show_id, version. Caller: live/republish.py
SELECT show_id, version FROM shows ORDER BY starts_at_ms DESC, show_id DESC LIMIT $1
