-- Remembers a provider's event. Out: one row the first time, none for a repetition.
-- In: $1 provider, $2 event id, $3 payment id. Caller: Till.webhook.
INSERT INTO provider_events VALUES ($1, $2, $3, clock_ms()) ON CONFLICT DO NOTHING RETURNING event_id
