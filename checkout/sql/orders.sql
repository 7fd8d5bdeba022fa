-- A show's orders, newest first. In: $1 show, $2 the last id seen ('' at first), $3 how many.
-- Out: orders.*, coupon, country, shipping_method, lines (JSON). Caller: Books.orders.
SELECT o.*, p.coupon, p.country, p.shipping_method, lines_of(o.payment_id) AS lines
FROM orders o JOIN payments p USING (payment_id)
WHERE o.show_id = $1 AND ($2 = '' OR o.order_id < $2) ORDER BY o.order_id DESC LIMIT $3
