-- An event, and where one endpoint is told of it. In: $1 event, $2 endpoint. Out: webhook_events.*, url, secret, or no row.
-- Caller: Webhooks (its couriers).
SELECT e.*, p.url, p.secret FROM webhook_events e, webhook_endpoints p
WHERE e.event_id = $1 AND p.endpoint_id = $2 AND p.state <> 'deleted'
