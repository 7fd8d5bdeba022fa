-- A page of one item's ledger, oldest first, with the salts of its orders.
-- In: $1 show, $2 variant, $3 the last seq seen (0 at first), $4 the last one wanted, $5 how many. Out: ledger.*, salt.
-- Caller: OpenBooks.file.
SELECT l.*, m.salt FROM ledger l LEFT JOIN order_marks m USING (order_id)
WHERE l.show_id = $1 AND l.variant_id = $2 AND l.seq > $3 AND l.seq <= $4 ORDER BY l.seq LIMIT $5
