-- Holds of a product whose units are off the shelf. In: $1 show, $2 variant. Out: hold_id, buyer_id, quantity.
-- Caller: Truth.rebuilding, and Shelf.reconcile.
SELECT hold_id, buyer_id, quantity FROM holds
WHERE show_id = $1 AND variant_id = $2 AND (state IN ('held', 'paying') OR (state = 'sold' AND NOT returned))
