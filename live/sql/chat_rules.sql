-- What holds for a show's chat, with the names of what it sells: those may always be said.
-- In: $1 show_id. Out: slow_mode_ms, chat_open, links_from, languages, blocked, allowed, titles; no row: no such show.
-- Caller: live/rulebook.py, Rulebook._read
SELECT s.slow_mode_ms, s.chat_open, r.links_from, r.languages, r.blocked, r.allowed,
    ARRAY(
        SELECT DISTINCT p.title FROM show_items i
        JOIN variants v USING (variant_id) JOIN products p USING (product_id) WHERE i.show_id = $1
    ) AS titles
FROM shows s LEFT JOIN chat_rules r USING (show_id)
WHERE s.show_id = $1
