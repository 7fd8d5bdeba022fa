-- Products with a hold whose time is over. Out: show_id, variant_id. Caller: the desk's sweeper.
SELECT DISTINCT show_id, variant_id FROM holds WHERE state = 'held' AND expires_at_ms <= clock_ms()
