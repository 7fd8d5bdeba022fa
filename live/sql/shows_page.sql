-- One page of shows, the latest start first; rehearsals stand in no list.
-- In: $1 starts_at_ms and $2 show_id of the last row seen (null: from the top), $3 rows. Out: up to $3 rows.
-- Caller: live/shows.py, ShowService.page
SELECT show_id, title, description, state, starts_at_ms, currency
FROM shows
WHERE rehearsal_of IS NULL AND ($1::bigint IS NULL OR (starts_at_ms, show_id) < ($1::bigint, $2::text))
ORDER BY starts_at_ms DESC, show_id DESC
LIMIT $3
