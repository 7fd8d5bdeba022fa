-- Enters the variants of one product, in order. Raises a unique violation if an id is taken.
-- In: $1 product_id, $2 currency, then arrays: $3 variant_id, $4 option, $5 sku, $6 price_amount. Out: nothing.
-- Caller: live/catalog.py, Catalog.create_product
INSERT INTO variants (product_id, currency, variant_id, option, sku, price_amount, position)
SELECT $1, $2, one.variant_id, one.option, one.sku, one.price_amount, one.position - 1
FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[])
     WITH ORDINALITY AS one (variant_id, option, sku, price_amount, position)
