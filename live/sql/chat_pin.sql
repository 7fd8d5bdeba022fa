-- The message on top of a show's chat.
-- In: $1 show_id. Out: message (JSON), or no row. Caller: live/moderation.py, live/republish.py
SELECT message FROM chat_pins WHERE show_id = $1
