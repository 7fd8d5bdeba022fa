-- A sold hold has its order, and no other has one: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT h.hold_id, h.state FROM holds h LEFT JOIN orders o USING (hold_id)
WHERE (h.state = 'sold') <> (o.order_id IS NOT NULL) AND ($1::text IS NULL OR h.show_id = $1)
