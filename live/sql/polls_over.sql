-- Closes the polls whose time is over. Out: nothing. Caller: live/polls.py, Polls.now
UPDATE polls SET closed_at_ms = closes_at_ms WHERE closed_at_ms IS NULL AND closes_at_ms <= clock_ms()
