-- The open questions of every show that is not over, those with most votes first. In: $1 how many of a show.
-- Out: show_id, question_id, name, text, votes. Caller: live/questions.py, Questions.now
SELECT show_id, question_id, name, text, votes
FROM (
    SELECT q.*, v.votes, row_number() OVER (PARTITION BY q.show_id ORDER BY v.votes DESC, q.asked_at_ms, q.question_id) AS place
    FROM questions q
    JOIN shows s ON s.show_id = q.show_id AND s.state <> 'ended'
    CROSS JOIN LATERAL (SELECT count(*) AS votes FROM question_votes v WHERE v.question_id = q.question_id) AS v
    WHERE q.state = 'open' AND NOT q.shadowed
) AS placed
WHERE place <= $1
ORDER BY show_id, place
