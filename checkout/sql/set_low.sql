-- Another threshold for the low-stock alert. In: $1 show, $2 variant, $3 at how few. Out: stock.*, or no row.
-- Caller: Stockroom.set_low.
UPDATE stock SET low_at = $3, version = version + 1 WHERE show_id = $1 AND variant_id = $2 RETURNING *
