-- Puts a message on top of a show's chat, in the place of one that is there.
-- In: $1 show_id, $2 message (JSON). Out: nothing. Caller: live/moderation.py, Moderation.pin
INSERT INTO chat_pins (show_id, message) VALUES ($1, $2)
ON CONFLICT (show_id) DO UPDATE SET message = excluded.message
