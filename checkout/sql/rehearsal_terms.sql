-- Copies what a show adds to its prices, and its coupons unused, to its rehearsal; once.
-- In: $1 show, $2 rehearsal. Caller: Stockroom.copy_terms.
WITH charges AS (
    INSERT INTO show_charges (show_id, home_country, shipping_required)
    SELECT $2, home_country, shipping_required FROM show_charges WHERE show_id = $1
    ON CONFLICT DO NOTHING RETURNING show_id
), taxes AS (
    INSERT INTO tax_rates (show_id, country, rate_bp)
    SELECT $2, country, rate_bp FROM tax_rates WHERE show_id = $1 AND EXISTS (SELECT FROM charges)
), rates AS (
    INSERT INTO shipping_rates (show_id, country, method, position, amount, free_from)
    SELECT $2, country, method, position, amount, free_from FROM shipping_rates
    WHERE show_id = $1 AND EXISTS (SELECT FROM charges)
)
INSERT INTO coupons (show_id, code, percent_bp, amount, minimum, from_ms, until_ms, uses, uses_per_buyer, pinned,
        created_at_ms)
SELECT $2, code, percent_bp, amount, minimum, from_ms, until_ms, uses, uses_per_buyer, pinned, created_at_ms
FROM coupons WHERE show_id = $1
ON CONFLICT DO NOTHING
