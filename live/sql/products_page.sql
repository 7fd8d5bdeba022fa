-- One page of products by id, each with its variants as one row.
-- In: $1 product_id of the last one seen (null: from the start), $2 products, $3 one product_id alone, or null.
-- Out: product_id, title, description, image, and arrays of equal length: variant_ids, options, skus, amounts,
-- currencies. Caller: live/catalog.py
SELECT p.product_id, p.title, p.description, p.image,
       array_agg(v.variant_id ORDER BY v.position) AS variant_ids,
       array_agg(v.option ORDER BY v.position) AS options,
       array_agg(v.sku ORDER BY v.position) AS skus,
       array_agg(v.price_amount ORDER BY v.position) AS amounts,
       array_agg(v.currency ORDER BY v.position) AS currencies
FROM products p
JOIN variants v USING (product_id)
WHERE ($1::text IS NULL OR p.product_id > $1::text) AND ($3::text IS NULL OR p.product_id = $3::text)
GROUP BY p.product_id
ORDER BY p.product_id
LIMIT $2
