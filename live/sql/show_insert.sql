-- Schedules a show, unless one has that id.
-- In: $1 show_id, $2 title, $3 description, $4 starts_at_ms, $5 currency. Out: the id, or no row if it is taken.
-- Caller: live/shows.py, ShowService.create
INSERT INTO shows (show_id, title, description, starts_at_ms, currency)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (show_id) DO NOTHING
RETURNING show_id
