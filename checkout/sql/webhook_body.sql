-- Keeps the body of an event; the first one stays. In: $1 event, $2 body. Out: body. Caller: Webhooks (its couriers).
UPDATE webhook_events SET body = coalesce(body, $2) WHERE event_id = $1 RETURNING body
