-- migrate:up

-- Payments with real providers: whose they are, who really pays, orders cancelled before the capture, and what was
-- found apart between the provider's record and ours.

-- Stands in the metadata of every payment at the provider: an account there that two installations share tells each
-- which payments are its own to let go of.
CREATE TABLE installation (
    one  boolean PRIMARY KEY DEFAULT true CHECK (one),
    id   text NOT NULL
);
INSERT INTO installation (id) VALUES ('inst_' || replace(gen_random_uuid()::text, '-', ''));

ALTER TABLE payments
    ADD COLUMN provider_id text,   -- the provider's own name for it, as soon as it told us
    ADD COLUMN email text,         -- as the buyer gave it
    ADD COLUMN mailbox text,       -- the same as checkout/core/payer.py reduces it: one mailbox, one text
    ADD COLUMN refusal text        -- why authorized money was let go of: limit_reached, amount_mismatch
        CHECK (refusal IN ('limit_reached', 'amount_mismatch'));
CREATE INDEX payments_by_age ON payments (created_at_ms);

-- Units that one person paid for, or is about to, over all their guest sessions. A person is a card or a mailbox;
-- a payment may have both. What counts follows from the payment and its hold, so nothing has to be taken back here.
CREATE TABLE payer_units (
    payment_id  text NOT NULL REFERENCES payments,
    hold_id     text NOT NULL REFERENCES holds,
    show_id     text NOT NULL,
    variant_id  text NOT NULL,
    payer       text NOT NULL,
    units       int NOT NULL CHECK (units >= 1),
    PRIMARY KEY (payment_id, hold_id, payer)
);
CREATE INDEX payer_units_of ON payer_units (show_id, variant_id, payer);

-- The last look before a sale: may the person behind this authorized payment have the units?
-- Guarantees: over all guest sessions that pay with one card or under one mailbox, at once or one after the other,
-- no more units than the limit; a payment is asked once, and a repetition gets the same answer.
-- In: the payment; the provider's fingerprint of its card (empty: none); the amount the provider authorized.
-- Code: ok, limit_reached, amount_mismatch (the provider has another amount than we asked for). Caller: Payers.refusal.
CREATE FUNCTION claim_payer(p_payment text, p_card text, p_amount bigint, OUT code text) LANGUAGE plpgsql AS $$
DECLARE
    payment payments;
    buyer text;
    persons text[];
    person text;
BEGIN
    SELECT * INTO payment FROM payments p WHERE p.payment_id = p_payment;
    SELECT h.buyer_id INTO buyer FROM holds h WHERE h.hold_id = payment.hold_id;
    code := 'ok';
    IF payment.amount <> p_amount THEN
        code := 'amount_mismatch';
    ELSIF buyer LIKE 'guest\_%' THEN
        SELECT array_agg(who ORDER BY who) INTO persons
            FROM unnest(ARRAY['card:' || nullif(p_card, ''), 'mail:' || payment.mailbox]) AS who WHERE who IS NOT NULL;
        -- One after the other, and in one order: the next one's look has to see this one's claim.
        FOREACH person IN ARRAY coalesce(persons, '{}') LOOP
            PERFORM pg_advisory_xact_lock(hashtextextended('payer ' || person, 0));
        END LOOP;
        IF EXISTS (
            SELECT FROM (SELECT l.show_id, l.variant_id, sum(l.quantity) AS units FROM payment_lines l
                WHERE l.payment_id = p_payment GROUP BY 1, 2) wanted
            JOIN show_items i USING (show_id, variant_id)
            CROSS JOIN unnest(persons) AS who
            WHERE wanted.units + coalesce((
                SELECT sum(u.units) FROM payer_units u JOIN payments p USING (payment_id) JOIN holds h ON h.hold_id = u.hold_id
                WHERE u.show_id = wanted.show_id AND u.variant_id = wanted.variant_id AND u.payer = who
                    AND u.payment_id <> p_payment AND NOT h.returned
                    AND p.state IN ('authorizing', 'authorized', 'captured')), 0) > i.limit_per_buyer
        ) THEN
            code := 'limit_reached';
        ELSE
            INSERT INTO payer_units SELECT p_payment, l.hold_id, l.show_id, l.variant_id, who, l.quantity
                FROM payment_lines l CROSS JOIN unnest(persons) AS who WHERE l.payment_id = p_payment ON CONFLICT DO NOTHING;
        END IF;
    END IF;
    IF code <> 'ok' THEN
        UPDATE payments p SET refusal = code WHERE p.payment_id = p_payment;
    END IF;
END $$;

-- PAID -> CANCELLED: before the capture an order can be undone without money ever moving.
ALTER TABLE orders DROP CONSTRAINT orders_state_check;
ALTER TABLE orders ADD CONSTRAINT orders_state_check
    CHECK (state IN ('paid', 'captured', 'capture_failed', 'cancelled', 'partially_refunded', 'refunded'));
CREATE OR REPLACE FUNCTION guard_order_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state || '>' || NEW.state NOT IN (
        'paid>captured', 'paid>capture_failed', 'paid>cancelled', 'captured>partially_refunded', 'captured>refunded',
        'partially_refunded>refunded'
    ) THEN
        RAISE EXCEPTION 'an order never moves from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

-- Undoes an order whose money has not been captured: its units come back, its capture will not be said any more, and
-- the provider is told to let the money go. A capture that is on its way all the same is given back by that last word.
-- Guarantees: once. Code: ok, known (it was cancelled before), late (captured already, or its capture failed), none;
-- with the order, its holds and their stock rows. Caller: Outbox.cancel.
CREATE FUNCTION cancel_order(p_order text, OUT code text, OUT o orders, OUT basket holds[], OUT items stock[])
LANGUAGE plpgsql AS $$
DECLARE
    line payment_lines;
BEGIN
    SELECT * INTO o FROM orders x WHERE x.order_id = p_order;
    IF NOT FOUND THEN
        code := 'none';
        RETURN;
    END IF;
    PERFORM lock_stock_of(o.payment_id);
    SELECT * INTO o FROM orders x WHERE x.order_id = p_order FOR UPDATE;
    code := CASE o.state WHEN 'paid' THEN 'ok' WHEN 'cancelled' THEN 'known' ELSE 'late' END;
    IF code = 'ok' THEN
        UPDATE orders x SET state = 'cancelled' WHERE x.order_id = p_order RETURNING * INTO o;
        UPDATE outbox b SET state = 'done' WHERE b.order_id = p_order AND b.kind = 'capture';
        INSERT INTO outbox (kind, payment_id, order_id, amount, currency, due_at_ms)
            VALUES ('cancel', o.payment_id, p_order, o.total, o.currency, clock_ms());
        FOR line IN SELECT * FROM payment_lines l WHERE l.payment_id = o.payment_id ORDER BY l.position LOOP
            PERFORM return_line(o, line);
        END LOOP;
    END IF;
    SELECT b.basket, b.items INTO basket, items FROM basket_of(o.payment_id) b;
END $$;

ALTER TABLE outbox ADD COLUMN why text NOT NULL DEFAULT '';  -- the last failure, for the operator
CREATE INDEX outbox_parked ON outbox (outbox_id) WHERE state = 'parked';

-- Says a capture to the provider once more, in its own entry, or in a new one where that is missing.
-- Guarantees: nothing is said for an order that is cancelled. Code: ok, none (no order of this payment asks for it).
-- Caller: Reconciler.look.
CREATE FUNCTION say_capture_again(p_payment text, OUT code text) LANGUAGE plpgsql AS $$
DECLARE
    o orders;
BEGIN
    SELECT * INTO o FROM orders x WHERE x.payment_id = p_payment FOR UPDATE;
    code := 'none';
    IF FOUND AND o.state IN ('paid', 'captured') THEN
        code := 'ok';
        UPDATE outbox b SET state = 'pending', attempts = 0, due_at_ms = clock_ms()
            WHERE b.payment_id = p_payment AND b.kind = 'capture';
        IF NOT FOUND THEN
            INSERT INTO outbox (kind, payment_id, order_id, amount, currency, due_at_ms)
                VALUES ('capture', p_payment, o.order_id, o.total, o.currency, clock_ms());
        END IF;
    END IF;
END $$;

-- What was found apart between the provider's record and ours, and whether it still is.
CREATE TABLE payment_differences (
    payment_id    text NOT NULL,             -- no foreign key: it may be one that we know nothing of
    kind          text NOT NULL,             -- checkout/core/differences.py
    provider      text NOT NULL,
    show_id       text,
    order_id      text,
    ours          text,                      -- the payment's state; null: unknown here
    theirs        text,                      -- null: unknown there
    amount        bigint NOT NULL,           -- in minor units: how much money is in the wrong place, or in doubt
    currency      text,
    found_at_ms   bigint NOT NULL,
    seen_at_ms    bigint NOT NULL,
    settled_at_ms bigint,
    PRIMARY KEY (payment_id, kind)
);
CREATE INDEX payment_differences_open ON payment_differences (found_at_ms) WHERE settled_at_ms IS NULL;
