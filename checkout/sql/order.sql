-- One order, with its lines. Guarantees: nobody sees another's.
-- In: $1 order id, $2 its buyer (null: whoever's), $3 its show (null: any).
-- Out: orders.*, coupon, country, shipping_method, lines (JSON). Caller: Desk.get_order.
SELECT o.*, p.coupon, p.country, p.shipping_method, lines_of(o.payment_id) AS lines
FROM orders o JOIN payments p USING (payment_id)
WHERE o.order_id = $1 AND ($2::text IS NULL OR o.buyer_id = $2) AND ($3::text IS NULL OR o.show_id = $3)
