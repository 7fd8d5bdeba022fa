-- What this round did not find any more is settled. In: $1 provider, $2 when the round began. Caller: Reconciler.look.
UPDATE payment_differences SET settled_at_ms = $2
WHERE provider = $1 AND settled_at_ms IS NULL AND seen_at_ms < $2
