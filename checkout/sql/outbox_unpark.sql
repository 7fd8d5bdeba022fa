-- Gives parked entries, and those a dead process had claimed, another round. Caller: the desk, at its start.
UPDATE outbox SET state = 'pending', attempts = 0, due_at_ms = clock_ms() WHERE state IN ('parked', 'pending')
