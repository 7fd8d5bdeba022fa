-- Every product that can be bought at the moment. Out: show_id, variant_id. Caller: the desk, at its start.
SELECT show_id, variant_id FROM stock WHERE open
