-- Who waits in a show, product by product, the head of each first. In: $1 show, $2 and $3 variant and place to go on
-- after, $4 at most. Out: waitlist.*, ahead. Caller: Waitlist.page.
SELECT w.*, (SELECT count(*) FROM waitlist b WHERE b.show_id = w.show_id AND b.variant_id = w.variant_id
        AND b.state = 'waiting' AND b.place < w.place)::int AS ahead
FROM waitlist w
WHERE w.show_id = $1 AND w.state = 'waiting' AND (w.variant_id, w.place) > ($2, $3::bigint)
ORDER BY w.variant_id, w.place LIMIT $4
