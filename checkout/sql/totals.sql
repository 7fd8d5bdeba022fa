-- What a show has sold, over all its orders but those without a capture, failed or cancelled.
-- In: $1 show. Out: currency, orders, units_sold, paid, refunded; no row for a show that does not exist.
-- Caller: Books.totals.
SELECT s.currency, count(o.order_id) AS orders, coalesce(sum(u.units), 0)::bigint AS units_sold,
    coalesce(sum(o.total), 0)::bigint AS paid, coalesce(sum(o.refunded), 0)::bigint AS refunded
FROM shows s LEFT JOIN orders o ON o.show_id = s.show_id AND o.state NOT IN ('capture_failed', 'cancelled')
LEFT JOIN LATERAL (SELECT sum(l.quantity) AS units FROM payment_lines l WHERE l.payment_id = o.payment_id) u ON true
WHERE s.show_id = $1
GROUP BY s.show_id
