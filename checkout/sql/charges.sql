-- What a show adds to the price of its goods. In: $1 show.
-- Out: home_country, shipping_required, tax and shipping (JSON); no row where nothing was set.
-- Caller: ChargesBook.get.
SELECT c.home_country, c.shipping_required,
    coalesce((SELECT json_agg(json_build_object('country', t.country, 'rate_bp', t.rate_bp) ORDER BY t.country)
        FROM tax_rates t WHERE t.show_id = c.show_id), '[]')::text AS tax,
    coalesce((SELECT json_agg(json_build_object('country', r.country, 'method', r.method, 'amount', r.amount,
        'free_from', r.free_from) ORDER BY r.position)
        FROM shipping_rates r WHERE r.show_id = c.show_id), '[]')::text AS shipping
FROM show_charges c WHERE c.show_id = $1
