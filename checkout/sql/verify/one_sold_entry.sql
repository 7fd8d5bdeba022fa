-- An order has exactly one sold entry, of its own units and total: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT o.order_id FROM orders o
LEFT JOIN ledger l ON l.order_id = o.order_id AND l.kind = 'sold'
WHERE ($1::text IS NULL OR o.show_id = $1)
GROUP BY o.order_id HAVING count(l.seq) <> 1 OR min(l.units) <> min(o.quantity) OR min(l.amount) <> min(o.total)
