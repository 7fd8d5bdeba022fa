-- Ends what is announced in a show. In: $1 show_id, $2 true: only if its time is over. Out: announcement_id, or no row.
-- Caller: live/announcements.py, which holds the show's turn
UPDATE announcements SET ended_at_ms = clock_ms()
WHERE show_id = $1 AND ended_at_ms IS NULL AND (NOT $2 OR until_ms <= clock_ms())
RETURNING announcement_id
