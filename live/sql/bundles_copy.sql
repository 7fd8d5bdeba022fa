-- Copies a show's bundles to its rehearsal, which has its items; what is there already stays.
-- In: $1 show_id, $2 the rehearsal's. Out: nothing. Caller: live/bundles.py, BundleBook.copy
WITH made AS (
    INSERT INTO bundles (show_id, bundle_id, title, image, price_amount, currency, position)
    SELECT $2, bundle_id, title, image, price_amount, currency, position FROM bundles WHERE show_id = $1
    ON CONFLICT DO NOTHING
)
INSERT INTO bundle_parts (show_id, bundle_id, variant_id, units)
SELECT $2, bundle_id, variant_id, units FROM bundle_parts WHERE show_id = $1
ON CONFLICT DO NOTHING
