-- Gives one parked entry of a show another round. In: $1 show, $2 outbox id. Out: outbox.*; no row if there is none.
-- Caller: Outbox.retry.
UPDATE outbox b SET state = 'pending', attempts = 0, due_at_ms = clock_ms()
WHERE b.outbox_id = $2 AND b.state IN ('parked', 'pending')
    AND EXISTS (SELECT FROM payments p JOIN holds h USING (hold_id) WHERE p.payment_id = b.payment_id AND h.show_id = $1)
RETURNING b.*
