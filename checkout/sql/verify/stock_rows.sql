-- Every product with its stock and currency. In: $1 show (null: all). Caller: verify.verify.
SELECT s.*, i.currency FROM stock s JOIN show_items i USING (show_id, variant_id)
WHERE ($1::text IS NULL OR s.show_id = $1)
ORDER BY s.show_id, s.variant_id
