-- The rehearsal of a show that has not ended. In: $1 show_id. Out: show_id, or no row.
-- Caller: live/rehearsals.py, Rehearsals.under_way
SELECT show_id FROM shows WHERE rehearsal_of = $1 AND state <> 'ended' ORDER BY created_at DESC LIMIT 1
