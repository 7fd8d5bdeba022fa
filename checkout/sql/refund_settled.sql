-- The provider has given the money back. In: $1 refund id. Caller: Outbox.drain.
UPDATE refunds SET state = 'settled' WHERE refund_id = $1
