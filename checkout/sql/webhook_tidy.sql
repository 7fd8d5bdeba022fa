-- Forgets what was told long ago, and with it the names of buyers. In: $1 how long it is kept, in ms. Caller: Webhooks.run.
DELETE FROM webhook_events WHERE created_at_ms < clock_ms() - $1::bigint
