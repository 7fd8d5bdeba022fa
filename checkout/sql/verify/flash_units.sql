-- A flash price was given to as many units as it counts: the rows that break it. In: $1 show (null: all).
-- Caller: verify.verify.
SELECT f.flash_id, f.used FROM flash_prices f
WHERE ($1::text IS NULL OR f.show_id = $1) AND (
    f.used <> (SELECT coalesce(sum(h.quantity), 0) FROM holds h
        WHERE h.flash_id = f.flash_id AND h.state IN ('held', 'paying', 'sold'))
    OR EXISTS (SELECT FROM holds h WHERE h.flash_id = f.flash_id AND h.unit_amount <> f.amount))
