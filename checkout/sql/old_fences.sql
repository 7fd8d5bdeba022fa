-- Forgets fences that nobody can run into any more. Caller: Desk (its sweeper).
DELETE FROM fences WHERE at_ms < clock_ms() - 86400000
