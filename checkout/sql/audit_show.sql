-- The show of an order, a hold or a place on a waitlist. In: $1 its id. Out: show_id, or no row. Caller: Audit.around.
SELECT show_id FROM orders WHERE order_id = $1
UNION ALL
SELECT show_id FROM holds WHERE hold_id = $1
UNION ALL
SELECT show_id FROM waitlist WHERE entry_id = $1
