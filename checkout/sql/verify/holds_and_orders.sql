-- What holds, orders and refunds of one product add up to. In: $1 show, $2 variant. Caller: verify.verify.
SELECT
    coalesce((SELECT sum(quantity) FROM holds h WHERE h.show_id = $1 AND h.variant_id = $2
        AND h.state IN ('held', 'paying')), 0)::bigint AS held,
    coalesce((SELECT sum(quantity) FROM holds h WHERE h.show_id = $1 AND h.variant_id = $2
        AND h.state = 'sold'), 0)::bigint AS sold,
    coalesce((SELECT sum(total) FROM orders o WHERE o.show_id = $1 AND o.variant_id = $2
        AND o.state IN ('captured', 'partially_refunded', 'refunded')), 0)::bigint AS captured,
    coalesce((SELECT sum(refunded) FROM orders o WHERE o.show_id = $1 AND o.variant_id = $2), 0)::bigint AS refunded,
    coalesce((SELECT sum(r.amount) FROM refunds r JOIN orders o USING (order_id)
        WHERE o.show_id = $1 AND o.variant_id = $2), 0)::bigint AS given_back
