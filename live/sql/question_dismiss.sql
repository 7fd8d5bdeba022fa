-- Takes a question away; twice is once. In: $1 show_id, $2 question_id. Out: question_id, or no row if there is none.
-- Caller: live/questions.py, Questions.dismiss
UPDATE questions SET state = 'dismissed' WHERE show_id = $1 AND question_id = $2 RETURNING question_id
