-- The provider has let go of an authorization that had no hold. In: $1 payment id. Caller: Outbox.drain.
UPDATE payments SET state = 'cancelled' WHERE payment_id = $1 AND state = 'authorized'
