-- The places of all who wait for a product, in order. In: $1 show, $2 variant. Out: places. Caller: Waitlist.entry.
SELECT coalesce(array_agg(w.place ORDER BY w.place), '{}') AS places
FROM waitlist w WHERE w.show_id = $1 AND w.variant_id = $2 AND w.state = 'waiting'
