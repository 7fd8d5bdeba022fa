-- One order. Guarantees: nobody sees another's.
-- In: $1 order id, $2 its buyer (null: whoever's), $3 its show (null: any). Out: orders.*. Caller: Desk.get_order.
SELECT * FROM orders
WHERE order_id = $1 AND ($2::text IS NULL OR buyer_id = $2) AND ($3::text IS NULL OR show_id = $3)
