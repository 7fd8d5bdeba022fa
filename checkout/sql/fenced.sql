-- Which hold ids are fenced: no hold will ever have them. In: $1 ids. Out: hold_id. Caller: Shelf.reconcile.
SELECT hold_id FROM fences WHERE hold_id = ANY($1::text[])
