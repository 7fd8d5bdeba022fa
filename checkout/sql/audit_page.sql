-- What was done in a show, newest first.
-- In: $1 show (null: everywhere), $2 the last seq seen (null at first), $3 how many. Out: audit.*. Caller: Audit.page.
SELECT * FROM audit
WHERE ($1::text IS NULL OR show_id = $1) AND ($2::bigint IS NULL OR seq < $2)
ORDER BY seq DESC LIMIT $3
