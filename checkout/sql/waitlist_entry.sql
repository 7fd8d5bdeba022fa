-- One place on a waitlist. In: $1 entry, $2 whose (null: anybody's), $3 of which show (null: any).
-- Out: waitlist.*, ahead. Caller: Waitlist.entry.
SELECT w.*, CASE WHEN w.state <> 'waiting' THEN 0 ELSE (
        SELECT count(*) FROM waitlist b WHERE b.show_id = w.show_id AND b.variant_id = w.variant_id
            AND b.state = 'waiting' AND b.place < w.place)::int END AS ahead
FROM waitlist w
WHERE w.entry_id = $1 AND ($2::text IS NULL OR w.buyer_id = $2) AND ($3::text IS NULL OR w.show_id = $3)
