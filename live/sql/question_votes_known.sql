-- Which of some votes for questions are cast. In: arrays of equal length: $1 question_ids, $2 account_ids.
-- Out: question_id, account_id. Caller: live/questions.py, Questions.cast
SELECT question_id, account_id FROM question_votes
JOIN unnest($1::text[], $2::text[]) AS v (question_id, account_id) USING (question_id, account_id)
