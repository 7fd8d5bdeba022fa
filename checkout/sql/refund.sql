-- A refund. In: $1 refund. Out: refunds.*. Caller: Webhooks (its couriers).
SELECT * FROM refunds WHERE refund_id = $1
