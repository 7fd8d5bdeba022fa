-- Gives a claimed key back without an answer: what came out was not final, a retry is to look again.
-- In: $1 account, $2 operation, $3 key. Caller: Till.pay.
DELETE FROM idempotency_keys WHERE account_id = $1 AND operation = $2 AND key = $3 AND status IS NULL
