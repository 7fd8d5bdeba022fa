-- A show's coupons, the newest first. In: $1 show. Out: coupons.*. Caller: Coupons.all.
SELECT * FROM coupons WHERE show_id = $1 ORDER BY created_at_ms DESC, code LIMIT 500
