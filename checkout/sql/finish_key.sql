-- Saves the answer to an idempotency key for good. In: $1 account, $2 operation, $3 key, $4 status, $5 answer (JSON).
-- Caller: Till.pay.
UPDATE idempotency_keys SET status = $4, answer = $5
WHERE account_id = $1 AND operation = $2 AND key = $3 AND status IS NULL
