-- Asks a question, unless the account or the show has too many open ones. Raises a foreign key violation without a show.
-- In: $1 question_id, $2 show_id, $3 account_id, $4 name, $5 text, $6 shadowed, $7 most open ones of an account,
-- $8 most of the show. Out: asked_at_ms, or no row if there are too many. Caller: live/questions.py, Questions.ask
INSERT INTO questions (question_id, show_id, account_id, name, text, shadowed, asked_at_ms)
SELECT $1, $2, $3, $4, $5, $6, clock_ms()
WHERE (SELECT count(*) FROM questions WHERE show_id = $2 AND account_id = $3 AND state = 'open') < $7
    AND (SELECT count(*) FROM questions WHERE show_id = $2 AND state = 'open' AND NOT shadowed) < $8
RETURNING asked_at_ms
