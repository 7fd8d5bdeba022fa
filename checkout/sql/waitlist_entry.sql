-- One place on a waitlist. In: $1 entry, $2 whose (null: anybody's), $3 of which show (null: any).
-- Out: waitlist.*, ahead: at most 200 (waitlist.py's COUNTED_MOST), as one who waits asks again and again; see
-- waitlist_line.sql for those who have more ahead. Caller: Waitlist.entry.
SELECT w.*, CASE WHEN w.state <> 'waiting' THEN 0 ELSE (
        SELECT count(*) FROM (
            SELECT 1 FROM waitlist b WHERE b.show_id = w.show_id AND b.variant_id = w.variant_id
                AND b.state = 'waiting' AND b.place < w.place ORDER BY b.place DESC LIMIT 200) AS near)::int END AS ahead
FROM waitlist w
WHERE w.entry_id = $1 AND ($2::text IS NULL OR w.buyer_id = $2) AND ($3::text IS NULL OR w.show_id = $3)
