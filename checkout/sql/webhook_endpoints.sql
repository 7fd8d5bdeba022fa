-- The endpoints, the oldest first. Out: webhook_endpoints.*. Caller: Webhooks.endpoints.
SELECT * FROM webhook_endpoints WHERE state <> 'deleted' ORDER BY created_at_ms, endpoint_id
