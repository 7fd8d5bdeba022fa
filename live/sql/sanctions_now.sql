-- The sanctions of a show that are not over.
-- In: $1 show_id, $2 now in ms, $3 most rows. Out: account_id, kind, until_ms. Caller: live/rulebook.py, Rulebook._read
SELECT account_id, kind, until_ms FROM sanctions
WHERE show_id = $1 AND (until_ms IS NULL OR until_ms > $2)
ORDER BY at_ms DESC LIMIT $3
