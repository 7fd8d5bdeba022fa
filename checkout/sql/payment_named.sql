-- The provider's own name for a payment; the first one stays. In: $1 payment id, $2 name. Caller: PaymentBook.note.
UPDATE payments SET provider_id = $2 WHERE payment_id = $1 AND provider_id IS NULL
