-- Locks a product and gives it a new epoch, for a rebuild of its gate in the same transaction.
-- Guarantees: nothing about the product changes until the commit. In: $1 show, $2 variant.
-- Out: stock.*, limit_per_buyer. Caller: Truth.rebuilding.
UPDATE stock s SET epoch = nextval('stock_epochs') FROM show_items i
WHERE s.show_id = $1 AND s.variant_id = $2 AND i.show_id = $1 AND i.variant_id = $2
RETURNING s.*, i.limit_per_buyer
