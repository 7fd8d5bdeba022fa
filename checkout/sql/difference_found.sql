-- Notes a difference, anew or again. In: $1 payment, $2 kind, $3 provider, $4 show, $5 order, $6 state here, $7 state
-- there, $8 amount, $9 currency, $10 now. Out: is_new, true unless it was open already. Caller: Reconciler.look.
WITH before AS (SELECT FROM payment_differences WHERE payment_id = $1 AND kind = $2 AND settled_at_ms IS NULL)
INSERT INTO payment_differences VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)
ON CONFLICT (payment_id, kind) DO UPDATE SET ours = $6, theirs = $7, amount = $8, seen_at_ms = $10, settled_at_ms = NULL
RETURNING NOT EXISTS (SELECT FROM before) AS is_new
