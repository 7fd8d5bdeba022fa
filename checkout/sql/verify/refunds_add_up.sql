-- An order's refunds add up, as a whole and line by line: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT o.order_id, o.refunded FROM orders o
WHERE ($1::text IS NULL OR o.show_id = $1) AND (
    o.refunded <> coalesce((SELECT sum(r.amount) FROM refunds r WHERE r.order_id = o.order_id), 0)
    OR o.refunded <> (SELECT sum(l.refunded) FROM payment_lines l WHERE l.payment_id = o.payment_id)
    OR EXISTS (SELECT FROM payment_lines l WHERE l.payment_id = o.payment_id AND l.refunded <> coalesce((
        SELECT sum(x.amount) FROM refund_lines x JOIN refunds r USING (refund_id)
        WHERE r.order_id = o.order_id AND x.hold_id = l.hold_id), 0)))
