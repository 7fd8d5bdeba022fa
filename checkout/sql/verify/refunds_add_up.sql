-- An order's refunds add up: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT o.order_id, o.refunded, coalesce(sum(r.amount), 0) FROM orders o LEFT JOIN refunds r USING (order_id)
WHERE ($1::text IS NULL OR o.show_id = $1)
GROUP BY o.order_id HAVING o.refunded <> coalesce(sum(r.amount), 0)
