-- Puts a variant on sale in a show, after the items that are there, at the given price or else the catalogue's.
-- Guarantees: nothing happens if it is on sale already, or if its currency is not the show's.
-- In: $1 show_id, $2 variant_id, $3 price_amount or null, $4 limit_per_buyer. Out: the id, or no row.
-- Caller: live/catalog.py, Catalog.allocate, which holds the show's turn, so that positions do not collide
INSERT INTO show_items (show_id, variant_id, position, price_amount, currency, limit_per_buyer)
SELECT s.show_id, v.variant_id,
       (SELECT coalesce(max(position) + 1, 0) FROM show_items WHERE show_id = $1),
       coalesce($3::bigint, v.price_amount), s.currency, $4
FROM shows s, variants v
WHERE s.show_id = $1 AND v.variant_id = $2 AND v.currency = s.currency
ON CONFLICT (show_id, variant_id) DO NOTHING
RETURNING variant_id
