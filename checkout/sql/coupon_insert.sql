-- Enters a coupon, unless the show has one of that code. Raises a foreign key violation where there is no such show.
-- In: $1 show, $2 code, $3 percent_bp, $4 amount, $5 minimum, $6 from_ms, $7 until_ms, $8 uses, $9 uses_per_buyer.
-- Out: coupons.*, or no row. Caller: Coupons.create.
INSERT INTO coupons (show_id, code, percent_bp, amount, minimum, from_ms, until_ms, uses, uses_per_buyer, created_at_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, clock_ms()) ON CONFLICT DO NOTHING RETURNING *
