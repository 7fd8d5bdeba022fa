-- An event for one endpoint alone. In: $1 endpoint, $2 the event's id, $3 the delivery's.
-- Out: the delivery with its event, or no row. Caller: Webhooks.ping.
WITH event AS (
    INSERT INTO webhook_events (event_id, type, object_id, data, test, created_at_ms)
    SELECT $2, 'ping', $1, jsonb_build_object('endpoint_id', $1::text), true, clock_ms()
    WHERE EXISTS (SELECT FROM webhook_endpoints WHERE endpoint_id = $1 AND state <> 'deleted')
    RETURNING *
), delivery AS (
    INSERT INTO webhook_deliveries (delivery_id, event_id, endpoint_id, due_at_ms)
    SELECT $3, event_id, $1, created_at_ms FROM event
    RETURNING *
)
SELECT d.*, e.type, e.object_id, e.test, e.created_at_ms FROM delivery d JOIN event e USING (event_id)
