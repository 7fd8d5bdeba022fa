-- What an order's receipt says: a row a line.
-- In: $1 order, $2 its buyer and $3 its show (null: anybody's, any). Out: the order's columns, its lines, number and salt;
-- no row if there is no such order. Caller: Receipts.of.
SELECT o.order_id, o.show_id, o.total, o.currency, o.created_at_ms, m.number, m.salt, s.live_at_ms,
    s.rehearsal_of IS NOT NULL AS test, l.variant_id, l.seq, l.hash, l.units, l.amount, h.unit_amount,
    h.created_at_ms AS tapped_at_ms, p.title, v.option
FROM orders o JOIN order_marks m USING (order_id) JOIN shows s USING (show_id)
JOIN ledger l ON l.order_id = o.order_id AND l.kind = 'sold'
JOIN holds h ON h.hold_id = l.hold_id
JOIN variants v ON v.variant_id = l.variant_id JOIN products p USING (product_id)
WHERE o.order_id = $1 AND ($2::text IS NULL OR o.buyer_id = $2) AND ($3::text IS NULL OR o.show_id = $3)
ORDER BY l.variant_id, l.seq
