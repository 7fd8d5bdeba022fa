-- Takes the message on top of a show's chat away; if $2 is given, only that one.
-- In: $1 show_id, $2 a message's id, or null. Out: a row if it was there. Caller: live/moderation.py, Moderation.unpin
DELETE FROM chat_pins WHERE show_id = $1 AND ($2::text IS NULL OR message::json ->> 'id' = $2) RETURNING show_id
