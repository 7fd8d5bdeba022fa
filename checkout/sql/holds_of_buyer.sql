-- A buyer's open holds in a show, oldest first. Guarantees: nobody sees another's. Product by product, by the index that
-- counts for the limit per buyer. In: $1 show, $2 buyer, $3 how many. Out: holds.*. Caller: Books.purchases.
SELECT h.* FROM stock s CROSS JOIN LATERAL (
    SELECT * FROM holds
    WHERE show_id = s.show_id AND variant_id = s.variant_id AND buyer_id = $2 AND state IN ('held', 'paying')) h
WHERE s.show_id = $1 ORDER BY h.created_at_ms, h.hold_id LIMIT $3
