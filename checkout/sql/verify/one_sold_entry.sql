-- A line has exactly one sold entry, of its own units and total: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT o.order_id, l.hold_id FROM orders o JOIN payment_lines l USING (payment_id)
LEFT JOIN ledger e ON e.order_id = o.order_id AND e.hold_id = l.hold_id AND e.kind = 'sold'
WHERE ($1::text IS NULL OR o.show_id = $1)
GROUP BY o.order_id, l.hold_id HAVING count(e.seq) <> 1 OR min(e.units) <> min(l.quantity) OR min(e.amount) <> min(l.total)
