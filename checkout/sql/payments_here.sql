-- Payments as they stand here, to be compared with the provider's. In: $1 their ids, $2 the holds that the provider
-- names for them, for those that are unknown here. Out: a row each, with state null for an unknown one; is_moving:
-- something about it is still being said or asked; is_owed: an order keeps its money, or did until it was refunded. Caller: Reconciler.look.
SELECT w.payment_id, p.state, p.amount, p.currency, o.order_id,
    o.state IN ('paid', 'captured', 'partially_refunded', 'refunded') AS is_owed, coalesce(h.show_id, k.show_id) AS show_id,
    (SELECT sum(r.amount) FROM refunds r WHERE r.order_id = o.order_id)::bigint AS refunded,
    p.state = 'authorizing'
        OR EXISTS (SELECT FROM outbox b WHERE b.payment_id = w.payment_id AND b.state = 'pending')
        OR EXISTS (SELECT FROM refunds r WHERE r.order_id = o.order_id AND r.state = 'pending') AS is_moving
FROM unnest($1::text[], $2::text[]) AS w (payment_id, hold_id)
LEFT JOIN payments p ON p.payment_id = w.payment_id
LEFT JOIN orders o ON o.payment_id = w.payment_id
LEFT JOIN holds h ON h.hold_id = p.hold_id
LEFT JOIN holds k ON k.hold_id = w.hold_id
