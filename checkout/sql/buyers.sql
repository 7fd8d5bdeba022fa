-- Units a buyer holds or keeps of a product, out of a view on the holds. In: $1 show, $2 variant. Out: buyer_id, units. Caller: Truth.rebuilding.
SELECT buyer_id, units FROM buyers WHERE show_id = $1 AND variant_id = $2 AND units > 0
