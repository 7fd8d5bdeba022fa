-- A show's sanctions that are not over, the latest first.
-- In: $1 show_id, $2 now in ms, $3, $4 at_ms and account_id of the last one seen (null: from the start), $5 most rows.
-- Out: sanctions.*. Caller: live/moderation.py, Moderation.page
SELECT * FROM sanctions
WHERE show_id = $1 AND (until_ms IS NULL OR until_ms > $2)
    AND ($3::bigint IS NULL OR (at_ms, account_id) < ($3, $4))
ORDER BY at_ms DESC, account_id DESC LIMIT $5
