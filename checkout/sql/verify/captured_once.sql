-- Money taken is captured once, line by line, and no other is: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT o.order_id, l.hold_id, o.state FROM orders o JOIN payment_lines l USING (payment_id)
LEFT JOIN ledger e ON e.order_id = o.order_id AND e.hold_id = l.hold_id AND e.kind = 'capture'
WHERE ((o.state IN ('captured', 'partially_refunded', 'refunded')) <> (e.seq IS NOT NULL) OR e.amount <> l.total)
    AND ($1::text IS NULL OR o.show_id = $1)
