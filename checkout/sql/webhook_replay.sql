-- Makes a delivery due at once, as if it had never been tried. In: $1 endpoint, $2 delivery.
-- Out: the delivery with its event, or no row. Caller: Webhooks.replay.
UPDATE webhook_deliveries d SET state = 'pending', attempts = 0, due_at_ms = clock_ms(), delivered_at_ms = NULL
FROM webhook_events e
WHERE d.delivery_id = $2 AND d.endpoint_id = $1 AND e.event_id = d.event_id
RETURNING d.*, e.type, e.object_id, e.test, e.created_at_ms
