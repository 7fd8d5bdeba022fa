-- The provider has given the money back. In: $1 refund id. Caller: the desk's outbox.
UPDATE refunds SET state = 'settled' WHERE refund_id = $1
