-- Writes a show's chat rules. Raises a foreign key violation if there is no such show.
-- In: $1 show_id, $2 links_from, $3 languages, $4 blocked, $5 allowed. Out: nothing.
-- Caller: live/moderation.py, Moderation.set_rules
INSERT INTO chat_rules (show_id, links_from, languages, blocked, allowed) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (show_id) DO UPDATE SET links_from = excluded.links_from, languages = excluded.languages,
    blocked = excluded.blocked, allowed = excluded.allowed
