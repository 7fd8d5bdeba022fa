-- Units come back exactly with a refunded or uncaptured order: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT o.order_id, o.state FROM orders o
LEFT JOIN ledger l ON l.order_id = o.order_id AND l.kind = 'returned'
WHERE (o.state IN ('refunded', 'capture_failed', 'cancelled')) <> (l.seq IS NOT NULL)
    AND ($1::text IS NULL OR o.show_id = $1)
