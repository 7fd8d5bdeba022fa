-- A new endpoint, unless there are $5 already.
-- In: $1 id, $2 url, $3 secret, $4 types, $5 at most so many. Out: webhook_endpoints.*, or no row. Caller: Webhooks.make.
INSERT INTO webhook_endpoints (endpoint_id, url, secret, types, created_at_ms)
SELECT $1, $2, $3, $4::text[], clock_ms()
WHERE (SELECT count(*) FROM webhook_endpoints WHERE state <> 'deleted') < $5
ON CONFLICT (endpoint_id) DO UPDATE SET url = excluded.url
RETURNING *
