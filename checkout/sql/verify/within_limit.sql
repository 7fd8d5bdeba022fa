-- A buyer is within the limit: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT b.show_id, b.variant_id, b.buyer_id, b.units FROM buyers b JOIN show_items i USING (show_id, variant_id)
WHERE b.units > i.limit_per_buyer AND ($1::text IS NULL OR b.show_id = $1)
