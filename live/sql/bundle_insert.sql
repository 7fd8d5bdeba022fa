-- Puts a bundle on sale in a show, after the others; its parts follow in the same transaction.
-- Guarantees: nothing happens if the show has a bundle, or an item, of that id, or if there is no such show.
-- In: $1 show_id, $2 bundle_id, $3 title, $4 image, $5 price_amount. Out: the id, or no row.
-- Caller: live/bundles.py, BundleBook.create, which holds the show's turn
INSERT INTO bundles (show_id, bundle_id, title, image, price_amount, currency, position)
SELECT s.show_id, $2, $3, $4, $5, s.currency, (SELECT coalesce(max(position) + 1, 0) FROM bundles WHERE show_id = $1)
FROM shows s
WHERE s.show_id = $1 AND NOT EXISTS (SELECT FROM show_items i WHERE i.show_id = $1 AND i.variant_id = $2)
ON CONFLICT (show_id, bundle_id) DO NOTHING
RETURNING bundle_id
