-- Whether an item or a bundle is on sale in a show. In: $1 show_id, $2 variant_id or bundle_id. Out: true or false.
-- Caller: live/pins.py
SELECT EXISTS (SELECT FROM show_items i WHERE i.show_id = $1 AND i.variant_id = $2)
    OR EXISTS (SELECT FROM bundles b WHERE b.show_id = $1 AND b.bundle_id = $2)
