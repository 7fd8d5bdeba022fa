-- Enters a product, unless one has that id.
-- In: $1 product_id, $2 title, $3 description, $4 image. Out: the id, or no row if it is taken.
-- Caller: live/catalog.py, Catalog.create_product
INSERT INTO products (product_id, title, description, image) VALUES ($1, $2, $3, $4)
ON CONFLICT (product_id) DO NOTHING
RETURNING product_id
