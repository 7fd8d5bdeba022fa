-- A page of a show's orders with their lines, oldest first; what a line was given back is in the ledger.
-- In: $1 show, $2 the last order seen ('' at first), $3 how many orders. Out: a row a line. Caller: Exports.orders.
SELECT o.order_id, o.created_at_ms, o.state, o.buyer_name, o.currency, m.number, l.variant_id, l.units, l.amount,
    h.unit_amount, v.option, v.sku, p.title,
    coalesce((SELECT sum(r.amount) FROM ledger r WHERE r.show_id = l.show_id AND r.variant_id = l.variant_id
        AND r.order_id = o.order_id AND r.hold_id = l.hold_id AND r.kind = 'refund'), 0)::bigint AS refunded
FROM (SELECT * FROM orders WHERE show_id = $1 AND order_id > $2 ORDER BY order_id LIMIT $3) o
JOIN order_marks m USING (order_id)
JOIN ledger l ON l.order_id = o.order_id AND l.kind = 'sold'
JOIN holds h ON h.hold_id = l.hold_id
JOIN variants v ON v.variant_id = l.variant_id JOIN products p USING (product_id)
ORDER BY o.order_id, l.variant_id, l.seq
