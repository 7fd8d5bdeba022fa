-- A show's polls with their counts, the newest first. In: $1 show_id, $2 poll_id or null for all, $3 how many.
-- Out: one row a poll. Caller: live/polls.py
SELECT p.*, poll_counts(p) AS counts FROM polls p
WHERE p.show_id = $1 AND ($2::text IS NULL OR p.poll_id = $2::text)
ORDER BY p.opened_at_ms DESC, p.poll_id LIMIT $3
