-- An order costs what its lines come to, and a line's goods what its hold does: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT o.order_id, o.total, p.amount FROM orders o JOIN payments p USING (payment_id)
WHERE ($1::text IS NULL OR o.show_id = $1) AND (p.amount <> o.total
    OR o.total <> (SELECT sum(l.total) FROM payment_lines l WHERE l.payment_id = o.payment_id)
    OR EXISTS (SELECT FROM payment_lines l JOIN holds h USING (hold_id) WHERE l.payment_id = o.payment_id
        AND (l.goods <> goods_of(h) OR l.quantity <> h.quantity OR l.unit_amount <> h.unit_amount))
    OR EXISTS (SELECT FROM holds h WHERE h.hold_id = o.hold_id AND h.unit_amount <> o.unit_amount))
