-- Raises a show's version after a write to its pins or items.
-- In: $1 show_id. Out: the new version. Caller: live/pins.py, live/catalog.py
UPDATE shows SET version = version + 1 WHERE show_id = $1 RETURNING version
