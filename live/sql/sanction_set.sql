-- Writes somebody's sanction in a show; it takes the place of one that is there.
-- Raises a foreign key violation if there is no such show.
-- In: $1 show_id, $2 account_id, $3 name, $4 kind, $5 until_ms, $6 reason, $7 by_id, $8 at_ms. Out: nothing.
-- Caller: live/moderation.py, Moderation.sanction
INSERT INTO sanctions (show_id, account_id, name, kind, until_ms, reason, by_id, at_ms)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT (show_id, account_id) DO UPDATE SET name = excluded.name, kind = excluded.kind,
    until_ms = excluded.until_ms, reason = excluded.reason, by_id = excluded.by_id, at_ms = excluded.at_ms
