-- A payment as its provider has to know it. In: $1 payment id. Out: provider_id (null: not heard yet), amount,
-- currency, created_at_ms. Caller: PaymentBook.about.
SELECT provider_id, amount, currency, created_at_ms FROM payments WHERE payment_id = $1
