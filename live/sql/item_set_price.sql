-- A new price for a variant in a show; holds already taken keep theirs.
-- In: $1 show_id, $2 variant_id, $3 price_amount. Out: the currency, or no row if it is not on sale there.
-- Caller: live/catalog.py, Catalog.set_price
UPDATE show_items SET price_amount = $3 WHERE show_id = $1 AND variant_id = $2 RETURNING currency
