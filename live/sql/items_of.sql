-- What is on sale in a show, in its order, with the flash price that runs; stock is checkout's and comes from there.
-- In: $1 show_id, $2 variant_id or null for all. Out: one row an item. Caller: live/catalog.py
SELECT i.variant_id, v.product_id, p.title, v.option, i.price_amount, i.currency, i.limit_per_buyer, p.image, i.position,
    f.amount AS flash_amount, f.quantity AS flash_quantity, f.quantity - f.used AS flash_remaining,
    f.until_ms AS flash_until_ms, f.limit_per_buyer AS flash_limit
FROM show_items i
JOIN variants v USING (variant_id)
JOIN products p USING (product_id)
LEFT JOIN flash_prices f ON f.show_id = i.show_id AND f.variant_id = i.variant_id AND f.until_ms > clock_ms()
WHERE i.show_id = $1 AND ($2::text IS NULL OR i.variant_id = $2::text)
ORDER BY i.position, i.variant_id
