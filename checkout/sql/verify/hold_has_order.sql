-- A sold hold has its order, and no other has one: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT h.hold_id, h.state FROM holds h
LEFT JOIN (payment_lines l JOIN orders o USING (payment_id)) ON l.hold_id = h.hold_id
WHERE ((h.state = 'sold') <> (o.order_id IS NOT NULL) OR h.order_id <> o.order_id) AND ($1::text IS NULL OR h.show_id = $1)
