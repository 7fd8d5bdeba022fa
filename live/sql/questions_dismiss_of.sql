-- Takes away what an account asked in a show and nobody has answered. In: $1 show_id, $2 account_id. Out: nothing.
-- Caller: live/questions.py, Questions.dismiss_of
UPDATE questions SET state = 'dismissed' WHERE show_id = $1 AND account_id = $2 AND state = 'open'
