-- migrate:up

-- A guest is made with one call: fresh ones from one network could take every place of a line. Those whose guests joined
-- from one network, of which `network` is a keyed stand-in ('': of nobody else), have a share of the places together.

ALTER TABLE waitlist ADD COLUMN network text NOT NULL DEFAULT '';
CREATE INDEX waitlist_of_network ON waitlist (show_id, variant_id, network) WHERE state = 'waiting' AND network <> '';

DROP FUNCTION join_waitlist(text, text, text, text, int, text, int);

-- Puts a buyer at the end of a product's list, once.
-- Code: waiting (with the entry, new or theirs from before), stock (there is some, and nobody waits: tap), limit,
-- closed, full (p_most wait already), network (p_share of p_network do), none (no such product). Caller: Waitlist.join.
CREATE FUNCTION join_waitlist(
    p_show text, p_variant text, p_buyer text, p_name text, p_quantity int, p_entry text, p_most int,
    p_network text DEFAULT '', p_share int DEFAULT 0,
    OUT code text, OUT entry waitlist, OUT item stock
) LANGUAGE plpgsql AS $$
DECLARE
    most int;
BEGIN
    SELECT * INTO item FROM stock s WHERE s.show_id = p_show AND s.variant_id = p_variant FOR UPDATE;
    IF NOT FOUND THEN
        code := 'none';
        RETURN;
    END IF;
    SELECT * INTO entry FROM waitlist w WHERE w.show_id = p_show AND w.variant_id = p_variant
        AND w.buyer_id = p_buyer AND w.state = 'waiting';
    IF FOUND THEN
        code := 'waiting';
        RETURN;
    END IF;
    SELECT i.limit_per_buyer INTO most FROM show_items i WHERE i.show_id = p_show AND i.variant_id = p_variant;
    code := CASE
        WHEN NOT item.open THEN 'closed'
        WHEN p_quantity + coalesce((SELECT b.units FROM buyers b WHERE b.show_id = p_show
            AND b.variant_id = p_variant AND b.buyer_id = p_buyer), 0) > most THEN 'limit'
        WHEN item.waiting = 0 AND item.stocked - item.taken >= p_quantity THEN 'stock'
        WHEN item.waiting >= p_most THEN 'full'
        WHEN p_network <> '' AND p_share <= (SELECT count(*) FROM waitlist w WHERE w.show_id = p_show
            AND w.variant_id = p_variant AND w.network = p_network AND w.network <> '' AND w.state = 'waiting') THEN 'network'
        ELSE 'waiting' END;
    IF code <> 'waiting' THEN
        RETURN;
    END IF;
    INSERT INTO waitlist (entry_id, show_id, variant_id, buyer_id, buyer_name, quantity, created_at_ms, network)
        VALUES (p_entry, p_show, p_variant, p_buyer, p_name, p_quantity, clock_ms(), p_network) RETURNING * INTO entry;
    UPDATE stock s SET waiting = s.waiting + 1, version = s.version + 1
        WHERE s.show_id = p_show AND s.variant_id = p_variant RETURNING * INTO item;
END $$;
