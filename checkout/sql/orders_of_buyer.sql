-- A buyer's orders in a show, newest first. Guarantees: nobody sees another's.
-- In: $1 show, $2 buyer, $3 the last id seen ('' at first), $4 how many.
-- Out: orders.*, coupon, country, shipping_method, lines (JSON). Caller: Books.purchases.
SELECT o.*, p.coupon, p.country, p.shipping_method, lines_of(o.payment_id) AS lines
FROM orders o JOIN payments p USING (payment_id)
WHERE o.show_id = $1 AND o.buyer_id = $2 AND ($3 = '' OR o.order_id < $3) ORDER BY o.order_id DESC LIMIT $4
