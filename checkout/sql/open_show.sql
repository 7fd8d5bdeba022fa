-- The show whose books are open. In: $1 show. Out: title, rehearsal, or no row. Caller: OpenBooks (summary and file).
SELECT title, rehearsal_of IS NOT NULL AS rehearsal FROM shows WHERE show_id = $1
