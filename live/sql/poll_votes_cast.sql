-- Casts votes: one an account, the later one counts. Locks the polls against their closing, so that a vote is counted or
-- refused, and goes through accounts in their order, so that two calls cannot wait for each other.
-- In: arrays of equal length, no account twice in a poll: $1 show_ids, $2 poll_ids, $3 account_ids, $4 options.
-- Out: poll_id, account_id of what was cast; the rest is closed or was never there. Caller: live/polls.py, Polls.cast
INSERT INTO poll_votes (poll_id, account_id, option, at_ms)
SELECT p.poll_id, v.account_id, v.option, clock_ms()
FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[]) AS v (show_id, poll_id, account_id, option)
JOIN polls p ON p.poll_id = v.poll_id AND p.show_id = v.show_id
WHERE p.closed_at_ms IS NULL AND (p.closes_at_ms IS NULL OR p.closes_at_ms > clock_ms())
    AND v.option < cardinality(p.options)
ORDER BY v.poll_id, v.account_id
FOR SHARE OF p
ON CONFLICT (poll_id, account_id) DO UPDATE SET option = excluded.option, at_ms = excluded.at_ms
RETURNING poll_id, account_id
