-- An entry about money or a sale has an order with that line: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT e.order_id, e.hold_id FROM ledger e LEFT JOIN orders o USING (order_id)
LEFT JOIN payment_lines l ON l.payment_id = o.payment_id AND l.hold_id = e.hold_id
WHERE e.kind IN ('sold', 'capture', 'refund') AND l.hold_id IS NULL AND ($1::text IS NULL OR e.show_id = $1)
