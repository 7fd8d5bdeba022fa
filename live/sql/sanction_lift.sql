-- Lifts somebody's sanction in a show; one that is not there is no mistake.
-- In: $1 show_id, $2 account_id. Out: a row if there was one. Caller: live/moderation.py, Moderation.lift
DELETE FROM sanctions WHERE show_id = $1 AND account_id = $2 RETURNING account_id
