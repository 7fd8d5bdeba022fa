-- migrate:up

-- Pages say which price they saw, so since there are flash prices every tap of a rush was decided by reserve_flash(),
-- one after the other, at three times the time. A batch in which all taps have one price, and are to be held, is decided
-- in sets again: the item's price, or the flash price while all of them fit into it.
-- Nor does a fence, kept for a day, make every tap of that day go the long way: only a batch with a fenced id does.

DROP FUNCTION reserve_at_price;

-- Decides a batch of holds on one product in sets, if all of it is to be held at one price.
-- Guarantees: with the codes those of reserve_many(); without, nothing was written, and the lock is kept.
-- In, out: those of reserve_many(). A plain INSERT, and what it meets caught: ON CONFLICT looks for each hold beforehand.
-- Sequential scans are off because the plan is cached while the tables are empty. Caller: reserve_many only.
CREATE FUNCTION reserve_at_price(
    p_show text, p_variant text, p_holds text[], p_buyers text[], p_names text[], p_quantities int[], p_hold_ms bigint,
    p_seen bigint[],
    OUT codes smallint[], OUT at_ms bigint, OUT unit_amount bigint, OUT currency text, OUT item stock
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    product record;
    flash flash_prices;
    flash_left int;
    wanted bigint := (SELECT sum(q) FROM unnest(p_quantities) q);
    now_ms bigint;
BEGIN
    SELECT s.open, CASE WHEN s.waiting > 0 THEN 0 ELSE s.stocked - s.taken END AS free,
            i.price_amount, i.currency, i.limit_per_buyer INTO product
        FROM stock s JOIN show_items i USING (show_id, variant_id)
        WHERE s.show_id = p_show AND s.variant_id = p_variant FOR UPDATE OF s;
    now_ms := clock_ms();
    -- After the lock, as everything else: who begins or ends a flash price takes it too.
    flash := flash_now(p_show, p_variant);
    flash_left := flash.quantity - flash.used;
    IF flash_left >= wanted THEN
        product.price_amount := flash.amount;
        product.limit_per_buyer := least(product.limit_per_buyer, flash.limit_per_buyer);
    ELSIF flash_left > 0 THEN
        RETURN;  -- some get it, and some do not
    ELSE
        flash := NULL;
    END IF;
    -- fence_many() takes the lock too.
    IF product.open AND wanted <= product.free
        AND NOT EXISTS (SELECT FROM unnest(p_seen) AS seen WHERE seen <> product.price_amount)
        AND (NOT EXISTS (SELECT FROM fences) OR NOT EXISTS (SELECT FROM fences f WHERE f.hold_id = ANY (p_holds)))
    THEN
        BEGIN
            -- A hold id that is there already, of this product or another, is a unique_violation.
            INSERT INTO holds (hold_id, show_id, variant_id, buyer_id, buyer_name, quantity, unit_amount, currency,
                    created_at_ms, held_until_ms, expires_at_ms, flash_id)
                SELECT r.hold, p_show, p_variant, r.buyer, r.name, r.quantity, product.price_amount,
                    product.currency, now_ms, now_ms + p_hold_ms, now_ms + p_hold_ms, flash.flash_id
                FROM unnest(p_holds, p_buyers, p_names, p_quantities) AS r (hold, buyer, name, quantity);
            -- With what was just inserted, so that a buyer who stands in the batch twice counts twice.
            IF EXISTS (
                SELECT FROM holds h
                WHERE h.show_id = p_show AND h.variant_id = p_variant AND h.buyer_id = ANY (p_buyers)
                    AND (h.state IN ('held', 'paying') OR (h.state = 'sold' AND NOT h.returned))
                GROUP BY h.buyer_id HAVING sum(h.quantity) > product.limit_per_buyer
            ) THEN
                RAISE SQLSTATE 'SF001';
            END IF;
            IF flash.flash_id IS NOT NULL THEN
                UPDATE flash_prices f SET used = f.used + wanted WHERE f.flash_id = flash.flash_id;
            END IF;
            UPDATE stock s SET taken = s.taken + wanted, version = s.version + 1
                WHERE s.show_id = p_show AND s.variant_id = p_variant RETURNING s.* INTO item;
            codes := array_fill(1::smallint, ARRAY[cardinality(p_holds)]);
            at_ms := now_ms;
            unit_amount := product.price_amount;
            currency := product.currency;
        EXCEPTION WHEN SQLSTATE 'SF001' OR unique_violation THEN
            NULL;  -- the block is undone, the lock is kept
        END;
    END IF;
END $$;

-- Decides a batch of holds on one product, in order, under its one row lock.
-- Guarantees: a hold id is decided once for good; nobody over the limit; nothing over the stock; the price is the one of
-- this moment, by this server's clock, and the one seen where a buyer said which.
-- In: distinct hold ids with buyer, name, units and the price seen (null: whatever it is; or null for all of them), arrays
-- of one length; how long the holds last.
-- Out: those of reserve_one_by_one(), and the codes of reserve_flash(). Caller: Truth.reserve_many.
CREATE OR REPLACE FUNCTION reserve_many(
    p_show text, p_variant text, p_holds text[], p_buyers text[], p_names text[], p_quantities int[], p_hold_ms bigint,
    p_seen bigint[] DEFAULT NULL,
    OUT codes smallint[], OUT at_ms bigint, OUT unit_amount bigint, OUT currency text, OUT item stock
) LANGUAGE plpgsql AS $$
DECLARE
    decided record;
BEGIN
    SELECT * INTO decided
        FROM reserve_at_price(p_show, p_variant, p_holds, p_buyers, p_names, p_quantities, p_hold_ms, p_seen);
    IF decided.codes IS NULL AND p_seen IS NULL AND flash_now(p_show, p_variant) IS NULL THEN
        SELECT * INTO decided
            FROM reserve_one_by_one(p_show, p_variant, p_holds, p_buyers, p_names, p_quantities, p_hold_ms);
    ELSIF decided.codes IS NULL THEN
        SELECT * INTO decided
            FROM reserve_flash(p_show, p_variant, p_holds, p_buyers, p_names, p_quantities, p_hold_ms, p_seen);
    END IF;
    codes := decided.codes;
    at_ms := decided.at_ms;
    unit_amount := decided.unit_amount;
    currency := decided.currency;
    item := decided.item;
END $$;

-- HELD -> EXPIRED for the holds of one product whose time is over, at most p_most of them.
-- Guarantees: each returns its units once, to the flash price that it has too; a hold being paid for this instant is
-- skipped, never waited for. In sets: ten thousand that lapse at once are on the shelf again within the second.
-- Out: the ids and the stock row, null if there was nothing. Caller: Desk (its sweeper).
CREATE OR REPLACE FUNCTION expire_holds(p_show text, p_variant text, p_most int, OUT expired text[], OUT item stock)
LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    now_ms bigint;
    units int;
BEGIN
    PERFORM FROM stock s WHERE s.show_id = p_show AND s.variant_id = p_variant FOR UPDATE;
    now_ms := clock_ms();
    WITH due AS (
        SELECT h.hold_id FROM holds h
            WHERE h.state = 'held' AND h.expires_at_ms <= now_ms AND h.show_id = p_show AND h.variant_id = p_variant
            ORDER BY h.expires_at_ms LIMIT p_most FOR UPDATE SKIP LOCKED
    ), ended AS (
        UPDATE holds h SET state = 'expired' FROM due WHERE h.hold_id = due.hold_id
            RETURNING h.hold_id, h.quantity, h.flash_id
    ), flashes AS (
        UPDATE flash_prices f SET used = f.used - e.units
            FROM (SELECT flash_id, sum(quantity) AS units FROM ended GROUP BY flash_id) e WHERE f.flash_id = e.flash_id
    )
    SELECT array_agg(ended.hold_id), sum(ended.quantity) INTO expired, units FROM ended;
    IF expired IS NOT NULL THEN
        UPDATE stock s SET taken = s.taken - units, version = s.version + cardinality(expired)
            WHERE s.show_id = p_show AND s.variant_id = p_variant RETURNING s.* INTO item;
    END IF;
END $$;
