-- Differences that are open: of a show, or of payments that belong to none we know; the oldest first.
-- In: $1 show, $2 and $3 found_at_ms and payment of the last one seen (0 and '' at first), $4 how many.
-- Out: payment_differences.*. Caller: Reconciler.open.
SELECT * FROM payment_differences
WHERE settled_at_ms IS NULL AND (show_id = $1 OR show_id IS NULL) AND (found_at_ms, payment_id) > ($2, $3)
ORDER BY found_at_ms, payment_id LIMIT $4
