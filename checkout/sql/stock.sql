-- Stock of a show, or of one of its variants, with today's price. In: $1 show, $2 variant (null: all).
-- Out: stock.*, price_amount, currency. Caller: Desk.stock.
SELECT s.*, i.price_amount, i.currency FROM stock s JOIN show_items i USING (show_id, variant_id)
WHERE s.show_id = $1 AND ($2::text IS NULL OR s.variant_id = $2)
