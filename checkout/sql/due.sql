-- Products with a hold whose time is over: show_id, variant_id. Caller: the desk's sweeper.
-- The clock is read once, so that the index ends there: read for each row, all open holds are looked at.
SELECT DISTINCT show_id, variant_id FROM holds WHERE state = 'held' AND expires_at_ms <= (SELECT clock_ms())
