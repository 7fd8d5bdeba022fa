-- migrate:up

-- Bundles: items of one show sold together at a price of their own. A bundle has no stock: it holds each of its parts,
-- all or none, and there are as many as the scarcest part allows.

CREATE TABLE bundles (
    show_id       text NOT NULL REFERENCES shows,
    bundle_id     text NOT NULL,
    title         text NOT NULL,
    image         text NOT NULL DEFAULT '',
    price_amount  bigint NOT NULL CHECK (price_amount >= 0),
    currency      text NOT NULL,
    position      int NOT NULL,
    PRIMARY KEY (show_id, bundle_id)
);
CREATE TABLE bundle_parts (
    show_id     text NOT NULL,
    bundle_id   text NOT NULL,
    variant_id  text NOT NULL,
    units       int NOT NULL CHECK (units >= 1),
    PRIMARY KEY (show_id, bundle_id, variant_id),
    FOREIGN KEY (show_id, bundle_id) REFERENCES bundles,
    FOREIGN KEY (show_id, variant_id) REFERENCES show_items
);

-- A pin may be a bundle's: live/pins.py asks whether it is on sale.
ALTER TABLE pins DROP CONSTRAINT pins_show_id_variant_id_fkey;

-- Counts units of a buyer's, where that is a table of its own and does not follow from the holds.
-- The caller has the stock row's lock. Caller: the functions below only.
DO $$ BEGIN
    EXECUTE 'CREATE FUNCTION note_units(p_show text, p_variant text, p_buyer text, p_units int) RETURNS void LANGUAGE plpgsql AS '
        || CASE WHEN (SELECT relkind FROM pg_class WHERE oid = 'buyers'::regclass) = 'r' THEN $body$ $f$
BEGIN
    INSERT INTO buyers AS b (show_id, variant_id, buyer_id, units) VALUES (p_show, p_variant, p_buyer, p_units)
        ON CONFLICT (show_id, variant_id, buyer_id) DO UPDATE SET units = b.units + excluded.units;
END $f$ $body$ ELSE $body$ $f$ BEGIN END $f$ $body$ END;
END $$;

-- Decides one bundle: each of its parts becomes a hold, or none does. Locks the parts' stock rows by variant.
-- Guarantees: those of reserve_many() for each part; the parts' goods sum to the bundle's price to the cent, apportioned
-- by what the parts cost alone (checkout/core/pricing.py, apportion).
-- In: a hold id for each part, by variant; the bundle, how many, for whom, how long.
-- Code: 1 held, 2 known already (the same bundle), -1 sold out, -2 over a part's limit, -3 sales closed, -4 the id is
-- another hold's, -5 fenced, null: no such bundle; with the holds if it is 1 or 2, and the parts' stock rows.
-- Caller: Bundles.hold.
CREATE FUNCTION reserve_bundle(
    p_show text, p_bundle text, p_holds text[], p_buyer text, p_name text, p_quantity int, p_hold_ms bigint,
    OUT code int, OUT made holds[], OUT items stock[]
) LANGUAGE plpgsql AS $$
DECLARE
    bundle bundles;
    part record;
    rest bigint;         -- of the price, for this part and those after it
    rest_alone bigint;   -- what these cost alone
    share bigint;
    now_ms bigint;
BEGIN
    SELECT * INTO bundle FROM bundles b WHERE b.show_id = p_show AND b.bundle_id = p_bundle;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM FROM stock s WHERE s.show_id = p_show AND s.variant_id IN (SELECT p.variant_id FROM bundle_parts p
        WHERE p.show_id = p_show AND p.bundle_id = p_bundle) ORDER BY s.variant_id FOR UPDATE;
    now_ms := clock_ms();
    SELECT array_agg(h ORDER BY h.variant_id) INTO made FROM holds h WHERE h.hold_id = ANY(p_holds);
    IF made IS NOT NULL THEN
        code := CASE WHEN NOT EXISTS (SELECT FROM unnest(made) h WHERE h.bundle_id IS DISTINCT FROM p_bundle
            OR h.show_id <> p_show OR h.buyer_id <> p_buyer
            OR h.quantity <> p_quantity * (SELECT p.units FROM bundle_parts p WHERE p.show_id = p_show
                AND p.bundle_id = p_bundle AND p.variant_id = h.variant_id)) THEN 2 ELSE -4 END;
    ELSIF EXISTS (SELECT FROM fences f WHERE f.hold_id = ANY(p_holds)) THEN
        code := -5;
    ELSE
        SELECT min(CASE
                WHEN NOT s.open THEN -3
                WHEN p.units * p_quantity + coalesce((SELECT b.units FROM buyers b WHERE b.show_id = p_show
                    AND b.variant_id = p.variant_id AND b.buyer_id = p_buyer), 0) > i.limit_per_buyer THEN -2
                WHEN s.waiting > 0 OR p.units * p_quantity > s.stocked - s.taken THEN -1
                ELSE 1 END) INTO code
            FROM bundle_parts p JOIN stock s USING (show_id, variant_id) JOIN show_items i USING (show_id, variant_id)
            WHERE p.show_id = p_show AND p.bundle_id = p_bundle;
    END IF;
    IF code = 1 THEN
        rest := bundle.price_amount * p_quantity;
        rest_alone := (SELECT sum(i.price_amount * p.units) * p_quantity FROM bundle_parts p
            JOIN show_items i USING (show_id, variant_id) WHERE p.show_id = p_show AND p.bundle_id = p_bundle);
        FOR part IN
            SELECT p.variant_id, p.units * p_quantity AS units, i.price_amount * p.units * p_quantity AS alone,
                row_number() OVER (ORDER BY p.variant_id) AS number
            FROM bundle_parts p JOIN show_items i USING (show_id, variant_id)
            WHERE p.show_id = p_show AND p.bundle_id = p_bundle ORDER BY p.variant_id
        LOOP
            share := CASE WHEN rest_alone = 0 THEN rest ELSE
                div(2 * rest::numeric * part.alone + rest_alone, 2 * rest_alone::numeric) END;
            rest := rest - share;
            rest_alone := rest_alone - part.alone;
            INSERT INTO holds (hold_id, show_id, variant_id, buyer_id, buyer_name, quantity, unit_amount, goods, currency,
                    created_at_ms, held_until_ms, expires_at_ms, bundle_id, bundle_hold_id)
                VALUES (p_holds[part.number], p_show, part.variant_id, p_buyer, p_name, part.units, share / part.units,
                    share, bundle.currency, now_ms, now_ms + p_hold_ms, now_ms + p_hold_ms, p_bundle, p_holds[1]);
            PERFORM note_units(p_show, part.variant_id, p_buyer, part.units);
            UPDATE stock s SET taken = s.taken + part.units, version = s.version + 1
                WHERE s.show_id = p_show AND s.variant_id = part.variant_id;
        END LOOP;
        SELECT array_agg(h ORDER BY h.variant_id) INTO made FROM holds h WHERE h.hold_id = ANY(p_holds);
    END IF;
    SELECT array_agg(s ORDER BY s.variant_id) INTO items FROM stock s WHERE s.show_id = p_show AND s.variant_id IN (
        SELECT p.variant_id FROM bundle_parts p WHERE p.show_id = p_show AND p.bundle_id = p_bundle);
END $$;

-- HELD -> RELEASED; of a bundle, all its parts. Locks their stock rows by variant.
-- Code: ok, gone (already ended without a sale), busy (being paid for, or sold), none; with the hold, and, if it is ok,
-- with all that were released and their stock rows. Caller: Desk.release.
DROP FUNCTION release_hold;
CREATE FUNCTION release_hold(
    p_hold text, OUT code text, OUT hold holds, OUT item stock, OUT basket holds[], OUT items stock[]
) LANGUAGE plpgsql AS $$
DECLARE
    ids text[];
    one holds;
BEGIN
    SELECT * INTO hold FROM holds h WHERE h.hold_id = p_hold;
    IF NOT FOUND THEN
        code := 'none';
        RETURN;
    END IF;
    ids := (SELECT array_agg(h.hold_id) FROM holds h
        WHERE h.hold_id = p_hold OR h.bundle_hold_id = hold.bundle_hold_id);
    PERFORM FROM stock s WHERE s.show_id = hold.show_id
        AND s.variant_id IN (SELECT h.variant_id FROM holds h WHERE h.hold_id = ANY(ids)) ORDER BY s.variant_id FOR UPDATE;
    PERFORM FROM holds h WHERE h.hold_id = ANY(ids) ORDER BY h.hold_id FOR UPDATE;
    SELECT * INTO hold FROM holds h WHERE h.hold_id = p_hold;
    IF hold.state <> 'held' THEN
        code := CASE WHEN hold.state IN ('paying', 'sold') THEN 'busy' ELSE 'gone' END;
        RETURN;
    END IF;
    code := 'ok';
    FOR one IN UPDATE holds h SET state = 'released' WHERE h.hold_id = ANY(ids) AND h.state = 'held' RETURNING h.* LOOP
        PERFORM free_units(one);
        basket := basket || one;
    END LOOP;
    SELECT * INTO hold FROM holds h WHERE h.hold_id = p_hold;
    SELECT array_agg(s ORDER BY s.variant_id) INTO items FROM stock s WHERE s.show_id = hold.show_id
        AND s.variant_id IN (SELECT h.variant_id FROM unnest(basket) h);
    SELECT * INTO item FROM stock s WHERE s.show_id = hold.show_id AND s.variant_id = hold.variant_id;
END $$;
