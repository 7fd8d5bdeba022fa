-- Casts votes for questions: one an account, and twice is once.
-- In: arrays of equal length: $1 show_ids, $2 question_ids, $3 account_ids. Out: nothing; a vote for what is not open is
-- none. Caller: live/questions.py, Questions.cast
INSERT INTO question_votes (question_id, account_id)
SELECT q.question_id, v.account_id
FROM unnest($1::text[], $2::text[], $3::text[]) AS v (show_id, question_id, account_id)
JOIN questions q ON q.question_id = v.question_id AND q.show_id = v.show_id
WHERE q.state = 'open' AND NOT q.shadowed
ORDER BY v.question_id, v.account_id
ON CONFLICT DO NOTHING
