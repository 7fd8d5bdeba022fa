-- The parts of a bundle are sold together, and cost what they were held for: the rows that break it.
-- In: $1 show (null: all). Caller: verify.verify.
SELECT h.show_id, h.bundle_hold_id FROM holds h
WHERE h.bundle_hold_id IS NOT NULL AND ($1::text IS NULL OR h.show_id = $1)
GROUP BY h.show_id, h.bundle_hold_id, h.bundle_id
HAVING count(DISTINCT coalesce(h.order_id, '')) > 1
    OR count(*) <> (SELECT count(*) FROM bundle_parts p WHERE p.show_id = h.show_id AND p.bundle_id = h.bundle_id)
