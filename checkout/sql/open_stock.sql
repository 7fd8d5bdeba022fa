-- The items of a show with their stock. In: $1 show. Out: stock.*, currency, title. Caller: OpenBooks.file.
SELECT s.*, i.currency, p.title || CASE WHEN v.option = '' THEN '' ELSE ', ' || v.option END AS title
FROM stock s JOIN show_items i USING (show_id, variant_id)
JOIN variants v USING (variant_id) JOIN products p USING (product_id)
WHERE s.show_id = $1 ORDER BY i.position, s.variant_id
