-- Units come back exactly with a line that was given back as a whole, or with an uncaptured order: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT o.order_id, l.hold_id, o.state FROM orders o JOIN payment_lines l USING (payment_id) JOIN holds h ON h.hold_id = l.hold_id
LEFT JOIN ledger e ON e.order_id = o.order_id AND e.hold_id = l.hold_id AND e.kind = 'returned'
WHERE (h.returned <> (e.seq IS NOT NULL)
        OR (o.state IN ('refunded', 'capture_failed', 'cancelled') AND NOT h.returned)
        OR (h.returned AND l.refunded < l.total AND o.state NOT IN ('capture_failed', 'cancelled')))
    AND ($1::text IS NULL OR o.show_id = $1)
