-- Writes what of a show may change, and raises its version.
-- Guarantees: nothing happens unless the version is still $2.
-- In: $1 show_id, $2 version read, $3 state, $4 sales_open, $5 slow_mode_ms, $6 chat_open,
-- $7 video_open, $8 video_reason, $9 run. Out: the new version, or no row.
-- Caller: live/shows.py, ShowService._write
UPDATE shows
SET state = $3, sales_open = $4, slow_mode_ms = $5, chat_open = $6, video_open = $7, video_reason = $8, run = $9,
    version = version + 1
WHERE show_id = $1 AND version = $2
RETURNING version
