-- Marks a question answered; one that is answered already keeps its moment.
-- In: $1 show_id, $2 question_id, $3 captured_at_ms or null. Out: question_id, or no row if there is none.
-- Caller: live/questions.py, Questions.answer
UPDATE questions SET state = 'answered', answered_at_ms = coalesce(answered_at_ms, clock_ms()),
    captured_at_ms = CASE WHEN state = 'answered' THEN captured_at_ms ELSE $3::bigint END
WHERE show_id = $1 AND question_id = $2 AND state <> 'dismissed' AND NOT shadowed
RETURNING question_id
