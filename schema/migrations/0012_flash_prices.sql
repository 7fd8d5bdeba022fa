-- migrate:up

-- Flash prices: so many units of an item at another price, until a moment that is announced when it begins. The price of
-- a hold is decided where its units are, under the stock row's lock and by this server's clock.

CREATE TABLE flash_prices (
    flash_id         text PRIMARY KEY,
    show_id          text NOT NULL,
    variant_id       text NOT NULL,
    amount           bigint NOT NULL CHECK (amount >= 0),
    quantity         int NOT NULL CHECK (quantity >= 1),
    used             int NOT NULL DEFAULT 0,       -- units held, or sold, at this price
    limit_per_buyer  int CHECK (limit_per_buyer >= 1),
    from_ms          bigint NOT NULL,
    until_ms         bigint NOT NULL,
    end_told         boolean NOT NULL DEFAULT false,
    FOREIGN KEY (show_id, variant_id) REFERENCES show_items,
    CONSTRAINT no_more_than_announced CHECK (used >= 0 AND used <= quantity)
);
CREATE INDEX flash_prices_of_item ON flash_prices (show_id, variant_id, until_ms);
CREATE INDEX flash_prices_to_end ON flash_prices (until_ms) WHERE NOT end_told;
ALTER TABLE holds ADD COLUMN flash_id text;

-- What was announced stands: an end may come earlier, never later, and the rest not at all.
CREATE FUNCTION guard_flash_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.until_ms > OLD.until_ms OR (NEW.flash_id, NEW.show_id, NEW.variant_id, NEW.amount, NEW.quantity, NEW.from_ms)
            IS DISTINCT FROM (OLD.flash_id, OLD.show_id, OLD.variant_id, OLD.amount, OLD.quantity, OLD.from_ms) THEN
        RAISE EXCEPTION 'a flash price keeps what was announced' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER flash_prices_keep BEFORE UPDATE ON flash_prices FOR EACH ROW EXECUTE FUNCTION guard_flash_price();

-- The flash price of an item this moment, if its time is not over; what is left of it may be nothing.
-- Caller: the functions below.
CREATE FUNCTION flash_now(p_show text, p_variant text) RETURNS flash_prices LANGUAGE sql VOLATILE AS $$
    SELECT f.* FROM flash_prices f WHERE f.show_id = p_show AND f.variant_id = p_variant AND f.until_ms > clock_ms()
    ORDER BY f.until_ms DESC LIMIT 1;
$$;

-- Begins a flash price. Guarantees: one at a time for an item, and a countdown does not begin again: none begins within
-- p_rest_ms of the end of the last one.
-- Code: ok, known (the same was begun under this id), mismatch (another was), running, rest (with the last one), dearer
-- (it is no less than the price), over (its end has passed), none (no such item on sale). Caller: Flashes.begin.
CREATE FUNCTION begin_flash(
    p_flash text, p_show text, p_variant text, p_amount bigint, p_quantity int, p_limit int, p_until_ms bigint,
    p_rest_ms bigint, OUT code text, OUT flash flash_prices
) LANGUAGE plpgsql AS $$
DECLARE
    now_ms bigint;
    price bigint;
BEGIN
    PERFORM FROM stock s WHERE s.show_id = p_show AND s.variant_id = p_variant FOR UPDATE;
    IF NOT FOUND THEN
        code := 'none';
        RETURN;
    END IF;
    now_ms := clock_ms();
    SELECT * INTO flash FROM flash_prices f WHERE f.flash_id = p_flash;
    IF FOUND THEN
        code := CASE WHEN (flash.show_id, flash.variant_id, flash.amount, flash.quantity)
            IS DISTINCT FROM (p_show, p_variant, p_amount, p_quantity) THEN 'mismatch' ELSE 'known' END;
        RETURN;
    END IF;
    SELECT i.price_amount INTO price FROM show_items i WHERE i.show_id = p_show AND i.variant_id = p_variant;
    SELECT * INTO flash FROM flash_prices f WHERE f.show_id = p_show AND f.variant_id = p_variant
        ORDER BY f.until_ms DESC LIMIT 1;
    code := CASE
        WHEN flash.until_ms > now_ms THEN 'running'
        WHEN flash.until_ms > now_ms - p_rest_ms THEN 'rest'
        WHEN p_amount >= price THEN 'dearer'
        WHEN p_until_ms <= now_ms THEN 'over'
        ELSE 'ok' END;
    IF code = 'ok' THEN
        INSERT INTO flash_prices (flash_id, show_id, variant_id, amount, quantity, limit_per_buyer, from_ms, until_ms)
            VALUES (p_flash, p_show, p_variant, p_amount, p_quantity, p_limit, now_ms, p_until_ms) RETURNING * INTO flash;
    END IF;
END $$;

-- Ends an item's flash price before its time. Out: it, or no row. Holds keep it. Caller: Flashes.end.
CREATE FUNCTION end_flash(p_show text, p_variant text) RETURNS SETOF flash_prices LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM stock s WHERE s.show_id = p_show AND s.variant_id = p_variant FOR UPDATE;
    RETURN QUERY UPDATE flash_prices f SET until_ms = clock_ms()
        WHERE f.show_id = p_show AND f.variant_id = p_variant AND f.until_ms > clock_ms() RETURNING f.*;
END $$;

-- Decides taps where a flash price runs, or where buyers say which price they saw. Guarantees: those of reserve_many();
-- a hold has one price, the flash price if all of its units are left of it, else the ordinary one; nobody over the flash
-- price's own limit at that price; nothing at another price than the one seen.
-- All holds of a call have one price: from the first tap on whose price is another, taps are left undecided.
-- In: as reserve_many(). Codes: its, and -6 another price than the one seen, 0 undecided, never for the first.
-- Caller: reserve_many only.
CREATE FUNCTION reserve_flash(
    p_show text, p_variant text, p_holds text[], p_buyers text[], p_names text[], p_quantities int[], p_hold_ms bigint,
    p_seen bigint[],
    OUT codes smallint[], OUT at_ms bigint, OUT unit_amount bigint, OUT currency text, OUT item stock
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    tap record;
    product show_items;
    flash flash_prices;
    flash_left int;
    free int;
    had int;
    price bigint;
    code smallint;
    units int := 0;
    repeated jsonb := '{}';
BEGIN
    SELECT * INTO item FROM stock s WHERE s.show_id = p_show AND s.variant_id = p_variant FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    at_ms := clock_ms();
    SELECT * INTO product FROM show_items i WHERE i.show_id = p_show AND i.variant_id = p_variant;
    flash := flash_now(p_show, p_variant);
    flash_left := coalesce(flash.quantity - flash.used, 0);
    free := CASE WHEN item.waiting > 0 THEN 0 ELSE item.stocked - item.taken END;
    currency := product.currency;
    FOR tap IN
        SELECT r.hold, r.buyer, r.quantity, r.seen,
            EXISTS (SELECT FROM holds h WHERE h.hold_id = r.hold) AS known,
            EXISTS (SELECT FROM fences f WHERE f.hold_id = r.hold) AS fenced,
            (SELECT b.units FROM buyers b
                WHERE b.show_id = p_show AND b.variant_id = p_variant AND b.buyer_id = r.buyer) AS had
        FROM unnest(p_holds, p_buyers, p_quantities, p_seen) WITH ORDINALITY AS r (hold, buyer, quantity, seen, o)
        ORDER BY r.o
    LOOP
        had := coalesce(tap.had, 0) + coalesce((repeated ->> tap.buyer)::int, 0);
        price := CASE WHEN tap.quantity <= flash_left THEN flash.amount ELSE product.price_amount END;
        code := CASE
            WHEN tap.known THEN 2
            WHEN tap.fenced THEN -5
            WHEN NOT item.open THEN -3
            WHEN had + tap.quantity > CASE WHEN tap.quantity <= flash_left
                THEN least(product.limit_per_buyer, flash.limit_per_buyer) ELSE product.limit_per_buyer END THEN -2
            WHEN tap.quantity > free THEN -1
            WHEN tap.seen <> price THEN -6
            ELSE 1 END;
        IF code = 1 AND unit_amount IS NULL THEN
            unit_amount := price;
        ELSIF code = 1 AND unit_amount <> price THEN
            codes := codes || array_fill(0::smallint, ARRAY[cardinality(p_holds) - cardinality(codes)]);
            EXIT;
        END IF;
        IF code = 1 THEN
            free := free - tap.quantity;
            flash_left := flash_left - CASE WHEN tap.quantity <= flash_left THEN tap.quantity ELSE 0 END;
            units := units + tap.quantity;
            repeated := jsonb_set(repeated, ARRAY[tap.buyer],
                to_jsonb(coalesce((repeated ->> tap.buyer)::int, 0) + tap.quantity));
        END IF;
        codes := codes || code;
    END LOOP;
    IF units = 0 THEN
        unit_amount := product.price_amount;
        RETURN;
    END IF;
    IF unit_amount IS DISTINCT FROM flash.amount THEN
        flash := NULL;
    END IF;
    INSERT INTO holds (hold_id, show_id, variant_id, buyer_id, buyer_name, quantity, unit_amount, currency,
            created_at_ms, held_until_ms, expires_at_ms, flash_id)
        SELECT r.hold, p_show, p_variant, r.buyer, r.name, r.quantity, reserve_flash.unit_amount, reserve_flash.currency,
            at_ms, at_ms + p_hold_ms, at_ms + p_hold_ms, flash.flash_id
        FROM unnest(p_holds, p_buyers, p_names, p_quantities, codes) AS r (hold, buyer, name, quantity, code)
        WHERE r.code = 1;
    PERFORM note_units(p_show, p_variant, r.buyer, r.quantity)
        FROM unnest(p_buyers, p_quantities, codes) AS r (buyer, quantity, code) WHERE r.code = 1;
    UPDATE flash_prices f SET used = f.used + units WHERE f.flash_id = flash.flash_id;
    UPDATE stock s SET taken = s.taken + units, version = s.version + 1
        WHERE s.show_id = p_show AND s.variant_id = p_variant RETURNING s.* INTO item;
END $$;

-- What it was until now, under another name: an item at its ordinary price, for buyers who say nothing about it.
DO $$ BEGIN
    EXECUTE replace(pg_get_functiondef('reserve_many'::regproc), 'reserve_many', 'reserve_at_price');
END $$;
DROP FUNCTION reserve_many;

-- Decides a batch of holds on one product, in order, under its one row lock.
-- Guarantees: a hold id is decided once for good; nobody over the limit; nothing over the stock; the price is the one of
-- this moment, by this server's clock, and the one seen where a buyer said which.
-- In: distinct hold ids with buyer, name, units and the price seen (null: whatever it is; or null for all of them), arrays
-- of one length; how long the holds last.
-- Out: those of reserve_one_by_one(), and the codes of reserve_flash(). A flash price that begins between the look and the
-- lock counts from the next batch on. Caller: Truth.reserve_many.
CREATE FUNCTION reserve_many(
    p_show text, p_variant text, p_holds text[], p_buyers text[], p_names text[], p_quantities int[], p_hold_ms bigint,
    p_seen bigint[] DEFAULT NULL,
    OUT codes smallint[], OUT at_ms bigint, OUT unit_amount bigint, OUT currency text, OUT item stock
) LANGUAGE plpgsql AS $$
DECLARE
    decided record;
BEGIN
    IF p_seen IS NULL AND NOT EXISTS (SELECT FROM flash_prices f
            WHERE f.show_id = p_show AND f.variant_id = p_variant AND f.until_ms > clock_ms()) THEN
        SELECT * INTO decided
            FROM reserve_at_price(p_show, p_variant, p_holds, p_buyers, p_names, p_quantities, p_hold_ms);
    ELSE
        SELECT * INTO decided
            FROM reserve_flash(p_show, p_variant, p_holds, p_buyers, p_names, p_quantities, p_hold_ms, p_seen);
    END IF;
    codes := decided.codes;
    at_ms := decided.at_ms;
    unit_amount := decided.unit_amount;
    currency := decided.currency;
    item := decided.item;
END $$;

-- Gives a hold that was just made the flash price, if all its units are left of it, and returns it.
-- The caller has the stock row's lock. Caller: offer_waiting only.
CREATE FUNCTION at_flash_price(hold holds) RETURNS holds LANGUAGE plpgsql AS $$
DECLARE
    flash flash_prices := flash_now(hold.show_id, hold.variant_id);
BEGIN
    IF hold.quantity <= flash.quantity - flash.used AND hold.quantity <= coalesce(flash.limit_per_buyer, hold.quantity) THEN
        UPDATE flash_prices f SET used = f.used + hold.quantity WHERE f.flash_id = flash.flash_id;
        UPDATE holds h SET unit_amount = flash.amount, flash_id = flash.flash_id WHERE h.hold_id = hold.hold_id
            RETURNING * INTO hold;
    END IF;
    RETURN hold;
END $$;

-- Offers are made, and ended holds are given back, at the flash price too.
DO $$
DECLARE
    offering text := pg_get_functiondef('offer_waiting'::regproc);
    freeing text := pg_get_functiondef('free_units'::regproc);
BEGIN
    EXECUTE replace(offering, 'RETURNING * INTO hold;', 'RETURNING * INTO hold; hold := at_flash_price(hold);');
    EXECUTE regexp_replace(freeing, '\mBEGIN\M',
        'BEGIN UPDATE flash_prices SET used = used - hold.quantity WHERE flash_id = hold.flash_id;');
    ASSERT position('at_flash_price' IN pg_get_functiondef('offer_waiting'::regproc)) > 0;
    ASSERT position('flash_prices' IN pg_get_functiondef('free_units'::regproc)) > 0;
END $$;

-- Pins a coupon in the place of the one that was, or none (p_code null). Out: the pinned coupon; no row if there is none
-- now, for one that does not exist changes nothing. Caller: Coupons.pin.
CREATE FUNCTION pin_coupon(p_show text, p_code text) RETURNS SETOF coupons LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM coupons c WHERE c.show_id = p_show AND (c.pinned OR c.code = p_code) ORDER BY c.code FOR UPDATE;
    IF p_code IS NULL OR EXISTS (SELECT FROM coupons c WHERE c.show_id = p_show AND c.code = p_code) THEN
        UPDATE coupons c SET pinned = false WHERE c.show_id = p_show AND c.pinned;
        RETURN QUERY UPDATE coupons c SET pinned = true WHERE c.show_id = p_show AND c.code = p_code RETURNING c.*;
    END IF;
END $$;
