-- How many items a show has on sale.
-- Guarantees: exact while the show's turn is held.
-- In: $1 show_id. Out: the number.
-- Caller: live/catalog.py, Catalog.allocate
SELECT count(*) FROM show_items WHERE show_id = $1
