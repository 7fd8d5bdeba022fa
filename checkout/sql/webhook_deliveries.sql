-- What was told to an endpoint, newest first.
-- In: $1 endpoint, $2 the last id seen ('' at first), $3 how many. Out: deliveries with their events.
-- Caller: Webhooks.deliveries.
SELECT d.*, e.type, e.object_id, e.test, e.created_at_ms
FROM webhook_deliveries d JOIN webhook_events e USING (event_id)
WHERE d.endpoint_id = $1 AND ($2 = '' OR d.delivery_id < $2)
ORDER BY d.delivery_id DESC LIMIT $3
