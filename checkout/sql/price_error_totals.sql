-- The same in all. In: $1 show, $2 variant, $3 unit price, $4 from and $5 before which ms.
-- Out: currency, orders, holds, amount; no row if the variant is not on sale there. Caller: PriceErrors (both).
SELECT i.currency, count(t.hold_id) FILTER (WHERE t.sold) AS orders, count(t.hold_id) FILTER (WHERE NOT t.sold) AS holds,
    coalesce(sum(t.left_over), 0)::bigint AS amount
FROM show_items i LEFT JOIN LATERAL (
    SELECT h.hold_id, h.state = 'sold' AS sold, coalesce(sold.amount - coalesce(back.amount, 0), 0) AS left_over
    FROM holds h LEFT JOIN orders o ON o.order_id = h.order_id
    LEFT JOIN LATERAL (SELECT sum(l.amount) AS amount FROM ledger l
        WHERE l.order_id = h.order_id AND l.hold_id = h.hold_id AND l.kind = 'sold') sold ON true
    LEFT JOIN LATERAL (SELECT sum(l.amount) AS amount FROM ledger l
        WHERE l.order_id = h.order_id AND l.hold_id = h.hold_id AND l.kind = 'refund') back ON true
    WHERE h.show_id = i.show_id AND h.variant_id = i.variant_id AND h.unit_amount = $3
        AND h.created_at_ms >= $4 AND h.created_at_ms < $5
        AND (h.state IN ('held', 'paying') OR (h.state = 'sold' AND NOT h.returned
            AND o.state IN ('paid', 'captured', 'partially_refunded') AND sold.amount > coalesce(back.amount, 0)))) t ON true
WHERE i.show_id = $1 AND i.variant_id = $2
GROUP BY i.currency
