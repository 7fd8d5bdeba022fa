-- Stock of a show, or of one of its variants. In: $1 show, $2 variant (null: all). Out: stock.*. Caller: Desk.stock.
SELECT * FROM stock WHERE show_id = $1 AND ($2::text IS NULL OR variant_id = $2)
