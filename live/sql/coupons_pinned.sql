-- The coupons offered to everybody who watches. In: $1 show (null: all). Out: show_id, code, percent_bp, amount, minimum,
-- until_ms, currency. Caller: live/offers.py
SELECT c.show_id, c.code, c.percent_bp, c.amount, c.minimum, c.until_ms, s.currency
FROM coupons c JOIN shows s USING (show_id)
WHERE c.pinned AND ($1::text IS NULL OR c.show_id = $1) AND (c.until_ms IS NULL OR c.until_ms > clock_ms())
