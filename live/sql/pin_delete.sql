-- Unpins an item; one that is not pinned changes nothing.
-- In: $1 show_id, $2 variant_id. Out: a row if it was pinned. Caller: live/pins.py, Pins.unpin
DELETE FROM pins WHERE show_id = $1 AND variant_id = $2 RETURNING variant_id
