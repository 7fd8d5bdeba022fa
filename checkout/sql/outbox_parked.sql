-- What a show's outbox could not say and will not try again by itself, the oldest first; with what belongs to no order.
-- In: $1 show, $2 the last id seen (0 at first), $3 how many. Out: outbox.*. Caller: Outbox.parked.
SELECT b.* FROM outbox b
WHERE b.state = 'parked' AND b.outbox_id > $2
    AND EXISTS (SELECT FROM payments p JOIN holds h USING (hold_id) WHERE p.payment_id = b.payment_id AND h.show_id = $1)
ORDER BY b.outbox_id LIMIT $3
