-- A coupon was used as often as its uses say, and each use belongs to a payment that is not over, and an order of which something is left: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT c.show_id, c.code, c.used FROM coupons c
WHERE ($1::text IS NULL OR c.show_id = $1) AND (
    c.used <> (SELECT count(*) FROM coupon_uses u WHERE u.show_id = c.show_id AND u.code = c.code AND u.state <> 'returned')
    OR EXISTS (SELECT FROM coupon_uses u JOIN payments p USING (payment_id)
        LEFT JOIN orders o USING (payment_id) WHERE u.show_id = c.show_id AND u.code = c.code
        AND u.state <> CASE WHEN p.state = 'authorizing' THEN 'reserved' WHEN o.order_id IS NULL
            OR o.state IN ('refunded', 'cancelled', 'capture_failed') THEN 'returned' ELSE 'used' END))
