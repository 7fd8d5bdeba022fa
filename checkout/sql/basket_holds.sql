-- Holds of one buyer, in the order asked for; each component of a bundle brings the others.
-- In: $1 hold ids, $2 buyer. Out: holds.*, goods_amount. Caller: Baskets.bill.
SELECT h.*, goods_of(h) AS goods_amount FROM holds h
WHERE h.buyer_id = $2 AND (h.hold_id = ANY($1::text[]) OR h.bundle_hold_id IN (
    SELECT c.bundle_hold_id FROM holds c WHERE c.hold_id = ANY($1::text[]) AND c.buyer_id = $2))
ORDER BY array_position($1::text[], coalesce(h.bundle_hold_id, h.hold_id)), array_position($1::text[], h.hold_id), h.hold_id
