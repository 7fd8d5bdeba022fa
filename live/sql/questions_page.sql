-- A show's questions of one state: by votes, then the oldest first; answered ones in the order of their answers.
-- In: $1 show_id, $2 state, $3 question_id or null for all, $4 how many. Out: one row a question, with its votes.
-- Caller: live/questions.py
SELECT q.*, (SELECT count(*) FROM question_votes v WHERE v.question_id = q.question_id) AS votes
FROM questions q
WHERE q.show_id = $1 AND q.state = $2 AND NOT q.shadowed AND ($3::text IS NULL OR q.question_id = $3::text)
ORDER BY q.answered_at_ms NULLS LAST, votes DESC, q.asked_at_ms, q.question_id LIMIT $4
