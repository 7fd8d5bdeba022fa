-- An outbox entry has been said to the provider. In: $1 outbox id. Caller: Outbox.drain.
UPDATE outbox SET state = 'done' WHERE outbox_id = $1 AND state = 'pending'
