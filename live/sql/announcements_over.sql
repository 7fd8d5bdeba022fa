-- The shows in which the time of an announcement is over. Out: show_id. Caller: live/announcements.py, Announcements.end_due
SELECT show_id FROM announcements WHERE ended_at_ms IS NULL AND until_ms <= clock_ms()
