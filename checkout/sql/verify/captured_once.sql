-- Money taken is captured once, and no other is: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT o.order_id, o.state FROM orders o
LEFT JOIN ledger l ON l.order_id = o.order_id AND l.kind = 'capture'
WHERE (o.state IN ('captured', 'partially_refunded', 'refunded')) <> (l.seq IS NOT NULL)
    AND ($1::text IS NULL OR o.show_id = $1)
