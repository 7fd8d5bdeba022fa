-- migrate:up

-- What a buyer holds or keeps follows from the holds: a table beside them said the same once more, and to write it took
-- half of a reservation's time in this server. Now it is a view, and the index that finds a product's holds finds a
-- buyer's too.

DROP INDEX holds_off_shelf;
CREATE INDEX holds_off_shelf ON holds (show_id, variant_id, buyer_id)
    WHERE state IN ('held', 'paying') OR (state = 'sold' AND NOT returned);

DROP TABLE buyers;
-- Units a buyer holds or keeps, for the limit. Nobody writes it: it follows the holds within each transaction.
CREATE VIEW buyers AS
    SELECT show_id, variant_id, buyer_id, sum(quantity)::int AS units FROM holds
    WHERE state IN ('held', 'paying') OR (state = 'sold' AND NOT returned)
    GROUP BY show_id, variant_id, buyer_id;

-- Every function that wrote it leaves that out; the rest of each stays as it is.
DO $$
DECLARE
    each regprocedure;
    body text;
    written constant text := '(UPDATE|INSERT INTO) buyers\M[^;]*;';
BEGIN
    FOR each IN SELECT p.oid FROM pg_proc p
        WHERE p.pronamespace = 'public'::regnamespace AND p.prosrc ~ written AND p.proname <> 'reserve_many'
    LOOP
        body := pg_get_functiondef(each);
        EXECUTE regexp_replace(body, written, '', 'g');
    END LOOP;
END $$;

-- Decides a batch of holds on one product, in order, under its one row lock.
-- Guarantees: those of reserve_one_by_one(), with the same answers; a test compares the two.
-- In, out: those of reserve_one_by_one(). Sequential scans are off because the plan is cached while the tables are empty.
-- Caller: Truth.reserve_many.
CREATE OR REPLACE FUNCTION reserve_many(
    p_show text, p_variant text, p_holds text[], p_buyers text[], p_names text[], p_quantities int[], p_hold_ms bigint,
    OUT codes smallint[], OUT at_ms bigint, OUT unit_amount bigint, OUT currency text, OUT item stock
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
    product record;
    wanted bigint := (SELECT sum(q) FROM unnest(p_quantities) q);
    now_ms bigint;
    made int;
    decided record;
BEGIN
    SELECT s.open, CASE WHEN s.waiting > 0 THEN 0 ELSE s.stocked - s.taken END AS free,
            i.price_amount, i.currency, i.limit_per_buyer INTO product
        FROM stock s JOIN show_items i USING (show_id, variant_id)
        WHERE s.show_id = p_show AND s.variant_id = p_variant FOR UPDATE OF s;
    -- After the lock: fence_many() takes it too.
    IF product.open AND wanted <= product.free AND NOT EXISTS (SELECT FROM fences) THEN
        BEGIN
            now_ms := clock_ms();
            -- A hold id that is there already, of this product or another, makes the count differ.
            INSERT INTO holds (hold_id, show_id, variant_id, buyer_id, buyer_name, quantity, unit_amount, currency,
                    created_at_ms, held_until_ms, expires_at_ms)
                SELECT r.hold, p_show, p_variant, r.buyer, r.name, r.quantity, product.price_amount,
                    product.currency, now_ms, now_ms + p_hold_ms, now_ms + p_hold_ms
                FROM unnest(p_holds, p_buyers, p_names, p_quantities) AS r (hold, buyer, name, quantity)
                ON CONFLICT (hold_id) DO NOTHING;
            GET DIAGNOSTICS made = ROW_COUNT;
            IF made <> cardinality(p_holds) THEN
                RAISE SQLSTATE 'SF001';
            END IF;
            -- With what was just inserted, so that a buyer who stands in the batch twice counts twice.
            IF EXISTS (
                SELECT FROM holds h
                WHERE h.show_id = p_show AND h.variant_id = p_variant AND h.buyer_id = ANY (p_buyers)
                    AND (h.state IN ('held', 'paying') OR (h.state = 'sold' AND NOT h.returned))
                GROUP BY h.buyer_id HAVING sum(h.quantity) > product.limit_per_buyer
            ) THEN
                RAISE SQLSTATE 'SF001';
            END IF;
            UPDATE stock s SET taken = s.taken + wanted, version = s.version + 1
                WHERE s.show_id = p_show AND s.variant_id = p_variant RETURNING s.* INTO item;
            codes := array_fill(1::smallint, ARRAY[cardinality(p_holds)]);
            at_ms := now_ms;
            unit_amount := product.price_amount;
            currency := product.currency;
            RETURN;
        EXCEPTION WHEN SQLSTATE 'SF001' THEN
            NULL;  -- the block is undone, the lock is kept
        END;
    END IF;
    SELECT * INTO decided
        FROM reserve_one_by_one(p_show, p_variant, p_holds, p_buyers, p_names, p_quantities, p_hold_ms);
    codes := decided.codes;
    at_ms := decided.at_ms;
    unit_amount := decided.unit_amount;
    currency := decided.currency;
    item := decided.item;
END $$;
