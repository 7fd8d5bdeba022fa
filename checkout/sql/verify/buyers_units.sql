-- A buyer's units are those of their holds: the rows that break it. In: $1 show (null: all). Caller: verify.verify.
SELECT show_id, variant_id, buyer_id, b.units, h.units FROM buyers b FULL JOIN (
    SELECT show_id, variant_id, buyer_id, sum(quantity) AS units FROM holds
    WHERE state IN ('held', 'paying') OR (state = 'sold' AND NOT returned) GROUP BY 1, 2, 3
) h USING (show_id, variant_id, buyer_id)
WHERE coalesce(b.units, 0) <> coalesce(h.units, 0) AND ($1::text IS NULL OR show_id = $1)
