-- The holds of one bundle that was taken, by variant. In: $1 its first hold. Out: holds.*. Caller: Bundles.whole.
SELECT * FROM holds WHERE bundle_hold_id = $1 ORDER BY variant_id
