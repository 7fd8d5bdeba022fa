-- An outbox entry failed: again in $2 ms, or not by itself any more. One that was withdrawn meanwhile stays so.
-- In: $1 outbox id, $2 ms, $3 park it, $4 why. Caller: Outbox.drain.
UPDATE outbox SET due_at_ms = clock_ms() + $2::bigint, why = $4,
    state = CASE WHEN $3::boolean THEN 'parked' ELSE 'pending' END
WHERE outbox_id = $1 AND state = 'pending'
