-- Waits for this show's turn: whoever holds it is the only writer of the show, in every process.
-- Guarantees: writes of a show commit and are announced in one order. Let go when the connection goes back to its pool.
-- In: $1 show_id. Out: nothing. Caller: live/turns.py
SELECT pg_advisory_lock(hashtextextended('show:' || $1::text, 0))
