-- What was tapped at a wrong price: open holds, and sold ones whose order has something of them to give back.
-- In: $1 show, $2 variant, $3 unit price, $4 from and $5 before which ms; $6 and $7 created_at_ms and hold_id of the last
-- one seen (-1 and '' at first), $8 how many, $9 leave out what is being paid for. Out: holds.*, order_state, to_refund.
-- Caller: PriceErrors (the list and the rollback).
SELECT h.*, o.state AS order_state, coalesce(sold.amount - coalesce(back.amount, 0), 0)::bigint AS to_refund
FROM holds h LEFT JOIN orders o ON o.order_id = h.order_id
LEFT JOIN LATERAL (SELECT sum(l.amount) AS amount FROM ledger l
    WHERE l.order_id = h.order_id AND l.hold_id = h.hold_id AND l.kind = 'sold') sold ON true
LEFT JOIN LATERAL (SELECT sum(l.amount) AS amount FROM ledger l
    WHERE l.order_id = h.order_id AND l.hold_id = h.hold_id AND l.kind = 'refund') back ON true
WHERE h.show_id = $1 AND h.variant_id = $2 AND h.unit_amount = $3 AND h.created_at_ms >= $4 AND h.created_at_ms < $5
    AND (h.created_at_ms, h.hold_id) > ($6, $7)
    AND (h.state = 'held' OR (h.state = 'paying' AND NOT $9::boolean)
        OR (h.state = 'sold' AND NOT h.returned AND o.state IN ('paid', 'captured', 'partially_refunded')
            AND sold.amount > coalesce(back.amount, 0)))
ORDER BY h.created_at_ms, h.hold_id LIMIT $8
