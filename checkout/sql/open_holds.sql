-- A show's open holds, oldest first.
-- In: $1 show, $2 and $3 created_at_ms and hold_id of the last one seen (0 and '' at first), $4 how many.
-- Out: holds.*. Caller: Books.holds.
SELECT * FROM holds
WHERE show_id = $1 AND state IN ('held', 'paying') AND (created_at_ms, hold_id) > ($2, $3)
ORDER BY created_at_ms, hold_id LIMIT $4
