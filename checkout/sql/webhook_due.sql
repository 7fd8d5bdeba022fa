-- Endpoints that something is due at. In: $1 those with a courier already, $2 at most so many. Out: endpoint_id.
-- Caller: Webhooks.run.
SELECT endpoint_id FROM webhook_endpoints e
WHERE state = 'enabled' AND endpoint_id <> ALL ($1::text[]) AND EXISTS (
    SELECT FROM webhook_deliveries d
    WHERE d.endpoint_id = e.endpoint_id AND d.state = 'pending' AND d.due_at_ms <= clock_ms())
LIMIT $2
