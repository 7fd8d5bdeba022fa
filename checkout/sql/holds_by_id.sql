-- Holds by their ids. In: $1 ids. Out: holds.*. Caller: Truth.reserve_many.
SELECT * FROM holds WHERE hold_id = ANY($1::text[])
