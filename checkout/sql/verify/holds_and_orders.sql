-- What holds, lines and refunds of one product add up to. In: $1 show, $2 variant. Caller: verify.verify.
SELECT
    coalesce((SELECT sum(quantity) FROM holds h WHERE h.show_id = $1 AND h.variant_id = $2
        AND h.state IN ('held', 'paying')), 0)::bigint AS held,
    coalesce((SELECT sum(quantity) FROM holds h WHERE h.show_id = $1 AND h.variant_id = $2
        AND h.state = 'sold'), 0)::bigint AS sold,
    coalesce((SELECT sum(l.total) FROM payment_lines l JOIN orders o USING (payment_id)
        WHERE l.show_id = $1 AND l.variant_id = $2
        AND o.state IN ('captured', 'partially_refunded', 'refunded')), 0)::bigint AS captured,
    coalesce((SELECT sum(l.refunded) FROM payment_lines l JOIN orders o USING (payment_id)
        WHERE l.show_id = $1 AND l.variant_id = $2), 0)::bigint AS refunded,
    coalesce((SELECT sum(r.amount) FROM refund_lines r JOIN holds h USING (hold_id)
        WHERE h.show_id = $1 AND h.variant_id = $2), 0)::bigint AS given_back
