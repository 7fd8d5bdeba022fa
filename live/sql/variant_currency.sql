-- The currency of a catalogued variant.
-- In: $1 variant_id. Out: at most one row. Caller: live/catalog.py, Catalog.allocate, to explain a refusal
SELECT currency FROM variants WHERE variant_id = $1
