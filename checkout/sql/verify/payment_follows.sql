-- A payment's state is its order's: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT o.order_id, o.state, p.state FROM orders o JOIN payments p USING (payment_id)
WHERE p.state <> CASE o.state WHEN 'paid' THEN 'authorized' WHEN 'capture_failed' THEN 'capture_failed'
    WHEN 'cancelled' THEN CASE p.state WHEN 'authorized' THEN p.state ELSE 'cancelled' END  -- let go of soon, or already
    ELSE 'captured' END AND ($1::text IS NULL OR o.show_id = $1)
