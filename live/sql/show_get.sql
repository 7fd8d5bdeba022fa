-- One show's own row.
-- In: $1 show_id. Out: at most one row. Caller: live/shows.py
SELECT show_id, title, description, state, starts_at_ms, currency, slow_mode_ms, sales_open, chat_open, video_open,
    video_reason, run, version, rehearsal_of
FROM shows
WHERE show_id = $1
