-- What each item's ledger adds up to, beside its stock. In: $1 show. Out: a row an item. Caller: OpenBooks.summary.
SELECT s.variant_id, i.currency, p.title || CASE WHEN v.option = '' THEN '' ELSE ', ' || v.option END AS title,
    s.taken - s.sold AS held, s.stocked - s.taken AS available, s.ledger_seq, s.ledger_hash,
    coalesce(sum(l.units) FILTER (WHERE l.kind = 'opening'), 0)::bigint AS opening,
    coalesce(sum(l.units) FILTER (WHERE l.kind = 'restocked'), 0)::bigint AS restocked,
    coalesce(sum(l.units) FILTER (WHERE l.kind = 'returned'), 0)::bigint AS returned,
    coalesce(sum(l.units) FILTER (WHERE l.kind = 'sold'), 0)::bigint AS sold,
    coalesce(sum(l.units) FILTER (WHERE l.kind = 'withdrawn'), 0)::bigint AS withdrawn,
    coalesce(sum(l.amount) FILTER (WHERE l.kind = 'capture'), 0)::bigint AS captured,
    coalesce(sum(l.amount) FILTER (WHERE l.kind = 'refund'), 0)::bigint AS refunded
FROM stock s JOIN show_items i USING (show_id, variant_id)
JOIN variants v USING (variant_id) JOIN products p USING (product_id)
LEFT JOIN ledger l USING (show_id, variant_id)
WHERE s.show_id = $1
GROUP BY s.show_id, s.variant_id, i.currency, i.position, p.title, v.option
ORDER BY i.position, s.variant_id
