-- A copy of a show under another id, unless one has that id.
-- In: $1 show_id of the copy, $2 show_id. Out: the id, or no row if it is taken.
-- Caller: live/rehearsals.py, Rehearsals.begin, with the show's turn
INSERT INTO shows (show_id, title, description, starts_at_ms, currency, slow_mode_ms, rehearsal_of)
SELECT $1, title, description, starts_at_ms, currency, slow_mode_ms, show_id FROM shows WHERE show_id = $2
ON CONFLICT (show_id) DO NOTHING
RETURNING show_id
