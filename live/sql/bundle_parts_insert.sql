-- Enters a bundle's parts. Raises a foreign key violation for a variant that is not on sale in the show.
-- In: $1 show_id, $2 bundle_id, then arrays: $3 variant_id, $4 units. Out: nothing. Caller: live/bundles.py
INSERT INTO bundle_parts (show_id, bundle_id, variant_id, units)
SELECT $1, $2, p.variant_id, p.units FROM unnest($3::text[], $4::int[]) AS p (variant_id, units)
