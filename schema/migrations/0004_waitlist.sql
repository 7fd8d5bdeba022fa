-- migrate:up

-- Those who came too late, in order. While somebody waits for a product, its free units are theirs: an ordinary tap
-- is refused, so that nobody overtakes the head of the list between a unit's return and its offer.

ALTER TABLE stock ADD COLUMN waiting int NOT NULL DEFAULT 0 CHECK (waiting >= 0);  -- entries in state waiting

CREATE TABLE waitlist (
    entry_id       text PRIMARY KEY,
    place          bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    show_id        text NOT NULL,
    variant_id     text NOT NULL,
    buyer_id       text NOT NULL,
    buyer_name     text NOT NULL,
    quantity       int NOT NULL CHECK (quantity >= 1),
    -- offered: the hold is theirs, and from here on tells the rest; passed: the limit was reached meanwhile
    state          text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'offered', 'passed', 'left')),
    hold_id        text,
    created_at_ms  bigint NOT NULL,
    FOREIGN KEY (show_id, variant_id) REFERENCES stock,
    CONSTRAINT an_offer_is_a_hold CHECK ((state = 'offered') = (hold_id IS NOT NULL))
);
CREATE UNIQUE INDEX one_place_a_buyer ON waitlist (show_id, variant_id, buyer_id) WHERE state = 'waiting';
CREATE UNIQUE INDEX waitlist_order ON waitlist (show_id, variant_id, place) WHERE state = 'waiting';

-- Puts a buyer at the end of a product's list, once.
-- Code: waiting (with the entry, new or theirs from before), stock (there is some, and nobody waits: tap), limit,
-- closed, full (p_most wait already), none (no such product). Caller: Waitlist.join.
CREATE FUNCTION join_waitlist(
    p_show text, p_variant text, p_buyer text, p_name text, p_quantity int, p_entry text, p_most int,
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
        ELSE 'waiting' END;
    IF code <> 'waiting' THEN
        RETURN;
    END IF;
    INSERT INTO waitlist (entry_id, show_id, variant_id, buyer_id, buyer_name, quantity, created_at_ms)
        VALUES (p_entry, p_show, p_variant, p_buyer, p_name, p_quantity, clock_ms()) RETURNING * INTO entry;
    UPDATE stock s SET waiting = s.waiting + 1, version = s.version + 1
        WHERE s.show_id = p_show AND s.variant_id = p_variant RETURNING * INTO item;
END $$;

-- Takes an entry off the list. Code: left, offered (its hold is to be released instead), gone, none.
-- Caller: Waitlist.leave.
CREATE FUNCTION leave_waitlist(p_entry text, OUT code text, OUT entry waitlist, OUT item stock) LANGUAGE plpgsql AS $$
BEGIN
    SELECT * INTO entry FROM waitlist w WHERE w.entry_id = p_entry;
    IF NOT FOUND THEN
        code := 'none';
        RETURN;
    END IF;
    SELECT * INTO item FROM stock s WHERE s.show_id = entry.show_id AND s.variant_id = entry.variant_id FOR UPDATE;
    UPDATE waitlist w SET state = 'left' WHERE w.entry_id = p_entry AND w.state = 'waiting' RETURNING * INTO entry;
    IF NOT FOUND THEN
        SELECT * INTO entry FROM waitlist w WHERE w.entry_id = p_entry;
        code := CASE WHEN entry.state = 'offered' THEN 'offered' ELSE 'gone' END;
        RETURN;
    END IF;
    code := 'left';
    UPDATE stock s SET waiting = s.waiting - 1, version = s.version + 1
        WHERE s.show_id = entry.show_id AND s.variant_id = entry.variant_id RETURNING * INTO item;
END $$;

-- Offers a product's free units to the head of its list, each as a hold of p_offer_ms, at most p_most of them.
-- Guarantees: strictly in order (a head that wants more than there is lets nobody by); nobody over the limit; nothing
-- while sales are closed. Out: the new holds, and the stock row; no holds if there was nothing to offer.
-- Caller: Shelf (its offers).
CREATE FUNCTION offer_waiting(p_show text, p_variant text, p_offer_ms bigint, p_most int, OUT made holds[], OUT item stock)
LANGUAGE plpgsql AS $$
DECLARE
    head waitlist;
    hold holds;
    product show_items;
    at_ms bigint;
    offers int := 0;
BEGIN
    made := '{}';
    SELECT * INTO item FROM stock s WHERE s.show_id = p_show AND s.variant_id = p_variant FOR UPDATE;
    SELECT * INTO product FROM show_items i WHERE i.show_id = p_show AND i.variant_id = p_variant;
    at_ms := clock_ms();
    WHILE item.open AND item.waiting > 0 AND offers < p_most LOOP
        SELECT * INTO head FROM waitlist w WHERE w.show_id = p_show AND w.variant_id = p_variant AND w.state = 'waiting'
            ORDER BY w.place LIMIT 1;
        EXIT WHEN head.quantity > item.stocked - item.taken;
        offers := offers + 1;
        IF head.quantity + coalesce((SELECT b.units FROM buyers b WHERE b.show_id = p_show AND b.variant_id = p_variant
                AND b.buyer_id = head.buyer_id), 0) > product.limit_per_buyer THEN
            UPDATE waitlist w SET state = 'passed' WHERE w.entry_id = head.entry_id;
            UPDATE stock s SET waiting = s.waiting - 1, version = s.version + 1
                WHERE s.show_id = p_show AND s.variant_id = p_variant RETURNING * INTO item;
            CONTINUE;
        END IF;
        INSERT INTO holds (hold_id, show_id, variant_id, buyer_id, buyer_name, quantity, unit_amount, currency,
                created_at_ms, held_until_ms, expires_at_ms)
            VALUES ('hold_' || substr(head.entry_id, position('_' IN head.entry_id) + 1), p_show, p_variant, head.buyer_id,
                head.buyer_name, head.quantity, product.price_amount, product.currency,
                at_ms, at_ms + p_offer_ms, at_ms + p_offer_ms)
            RETURNING * INTO hold;
        INSERT INTO buyers AS b (show_id, variant_id, buyer_id, units)
            VALUES (p_show, p_variant, head.buyer_id, head.quantity)
            ON CONFLICT (show_id, variant_id, buyer_id) DO UPDATE SET units = b.units + excluded.units;
        UPDATE waitlist w SET state = 'offered', hold_id = hold.hold_id WHERE w.entry_id = head.entry_id;
        UPDATE stock s SET taken = s.taken + head.quantity, waiting = s.waiting - 1, version = s.version + 1
            WHERE s.show_id = p_show AND s.variant_id = p_variant RETURNING * INTO item;
        made := made || hold;
    END LOOP;
END $$;

-- Both ways to reserve leave the units of those who wait alone.
DO $$ BEGIN
    EXECUTE replace(pg_get_functiondef('reserve_one_by_one'::regproc),
        'free := item.stocked - item.taken;',
        'free := CASE WHEN item.waiting > 0 THEN 0 ELSE item.stocked - item.taken END;  -- it is theirs');
    EXECUTE replace(pg_get_functiondef('reserve_many'::regproc),
        's.stocked - s.taken AS free',
        'CASE WHEN s.waiting > 0 THEN 0 ELSE s.stocked - s.taken END AS free');
END $$;
