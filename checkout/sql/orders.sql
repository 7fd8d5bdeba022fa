-- A show's orders, newest first. In: $1 show, $2 the last id seen ('' at first), $3 how many.
-- Out: orders.*. Caller: Desk.orders.
SELECT * FROM orders WHERE show_id = $1 AND ($2 = '' OR order_id < $2) ORDER BY order_id DESC LIMIT $3
