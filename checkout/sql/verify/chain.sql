-- A product's ledger, from its first entry. In: $1 show, $2 variant. Caller: verify.verify.
SELECT * FROM ledger WHERE show_id = $1 AND variant_id = $2 ORDER BY seq
