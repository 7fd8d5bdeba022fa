-- Payments that the provider's list ought to have, or that are too old for it and still open; and those found apart.
-- In: $1 provider, $2 from when on, $3 until when. Out: payment_id. Caller: Reconciler.look.
SELECT p.payment_id FROM payments p
WHERE p.provider = $1 AND p.created_at_ms <= $3
    AND (p.state = 'authorized' OR (p.state = 'captured' AND p.created_at_ms >= $2))
UNION
SELECT d.payment_id FROM payment_differences d WHERE d.provider = $1 AND d.settled_at_ms IS NULL
