-- The newest poll of each show with its counts: one that is open, or was opened within the last day.
-- Out: one row a show. Caller: live/polls.py, Polls.now
SELECT DISTINCT ON (p.show_id) p.*, poll_counts(p) AS counts FROM polls p
WHERE p.closed_at_ms IS NULL OR p.opened_at_ms > clock_ms() - 86400000
ORDER BY p.show_id, p.opened_at_ms DESC
