-- The shows whose video the operator has stopped.
-- In: $1 how many at most. Out: show_id, video_reason. Caller: live/cuts.py
SELECT show_id, video_reason FROM shows WHERE NOT video_open LIMIT $1
