-- A show's pins, the oldest first.
-- In: $1 show_id. Out: variant_id, pinned_at_ms. Caller: live/shows.py, live/pins.py
SELECT variant_id, pinned_at_ms FROM pins WHERE show_id = $1 ORDER BY pinned_at_ms, variant_id
