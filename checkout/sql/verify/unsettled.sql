-- What is decided and not yet said to the provider. In: $1 show (null: all). Caller: verify.verify.
SELECT
    (SELECT count(*) FROM orders o WHERE o.state = 'paid' AND ($1::text IS NULL OR o.show_id = $1)) AS captures,
    (SELECT count(*) FROM refunds r JOIN orders o USING (order_id)
        WHERE r.state = 'pending' AND ($1::text IS NULL OR o.show_id = $1)) AS refunds
