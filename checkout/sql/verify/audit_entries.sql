-- The audit log, oldest first. In: $1 the last seq seen (0 at first), $2 how many. Out: audit.*. Caller: verify.verify.
SELECT * FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2
