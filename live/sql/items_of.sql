-- What is on sale in a show, in its order; stock is checkout's and comes from there.
-- In: $1 show_id, $2 variant_id or null for all. Out: one row an item. Caller: live/catalog.py
SELECT i.variant_id, v.product_id, p.title, v.option, i.price_amount, i.currency, i.limit_per_buyer, p.image, i.position
FROM show_items i
JOIN variants v USING (variant_id)
JOIN products p USING (product_id)
WHERE i.show_id = $1 AND ($2::text IS NULL OR i.variant_id = $2::text)
ORDER BY i.position, i.variant_id
