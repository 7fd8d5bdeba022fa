-- Enables, disables or deletes an endpoint; a deleted one stays so.
-- In: $1 endpoint, $2 its new state. Out: webhook_endpoints.*, or no row. Caller: Webhooks.switch, Webhooks.delete.
UPDATE webhook_endpoints SET state = $2, failing_since_ms = NULL, secret = CASE WHEN $2 = 'deleted' THEN '' ELSE secret END
WHERE endpoint_id = $1 AND state <> 'deleted'
RETURNING *
