-- Under which address a payment is made: as it was given, and its mailbox. The first one stays.
-- In: $1 payment id, $2 address, $3 mailbox. Caller: Payers.note.
UPDATE payments SET email = $2, mailbox = $3 WHERE payment_id = $1 AND email IS NULL
