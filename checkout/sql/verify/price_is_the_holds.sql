-- An order's price is its hold's: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT o.order_id FROM orders o JOIN holds h USING (hold_id) JOIN payments p ON p.payment_id = o.payment_id
WHERE (o.total <> h.unit_amount * h.quantity OR p.amount <> o.total) AND ($1::text IS NULL OR o.show_id = $1)
