-- The parts of a bundle, by variant; no row where there is no such bundle.
-- In: $1 show, $2 bundle. Out: variant_id, units. Caller: Bundles.parts.
SELECT variant_id, units FROM bundle_parts WHERE show_id = $1 AND bundle_id = $2 ORDER BY variant_id
