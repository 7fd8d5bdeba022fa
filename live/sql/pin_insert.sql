-- Pins an item; pinning it again changes nothing.
-- Raises a foreign key violation if the variant is not on sale in the show.
-- In: $1 show_id, $2 variant_id, $3 pinned_at_ms. Out: nothing. Caller: live/pins.py, Pins.pin
INSERT INTO pins (show_id, variant_id, pinned_at_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
