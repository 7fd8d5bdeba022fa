-- A sold entry has an order: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT l.order_id FROM ledger l LEFT JOIN orders o USING (order_id)
WHERE l.kind IN ('sold', 'capture', 'refund') AND o.order_id IS NULL AND ($1::text IS NULL OR l.show_id = $1)
