-- Closes a poll, once: who votes at the same moment is counted or refused, never lost.
-- In: $1 show_id, $2 poll_id. Out: poll_id, or no row if it is closed or not there. Caller: live/polls.py, Polls.close
UPDATE polls SET closed_at_ms = clock_ms() WHERE show_id = $1 AND poll_id = $2 AND closed_at_ms IS NULL
RETURNING poll_id
