-- A show's bundles, in their order, each with its parts. In: $1 show_id, $2 bundle_id or null for all.
-- Out: bundle_id, title, image, price_amount, currency, alone (what the parts cost one by one), and arrays of equal
-- length: variant_ids, units. Caller: live/bundles.py
SELECT b.bundle_id, b.title, b.image, b.price_amount, b.currency, sum(i.price_amount * p.units)::bigint AS alone,
    array_agg(p.variant_id ORDER BY i.position) AS variant_ids, array_agg(p.units ORDER BY i.position) AS units
FROM bundles b
JOIN bundle_parts p USING (show_id, bundle_id)
JOIN show_items i USING (show_id, variant_id)
WHERE b.show_id = $1 AND ($2::text IS NULL OR b.bundle_id = $2::text)
GROUP BY b.show_id, b.bundle_id
ORDER BY b.position
