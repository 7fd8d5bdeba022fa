-- migrate:up

-- Stock, holds, orders, payments and the ledger: the truth behind "yours".
--
-- Every statement that locks more than one row is a function of this file, and all of them lock in one order:
--     stock -> holds -> payments -> orders -> refunds, ledger, outbox
-- so two of them can never wait for each other. Time is this server's clock, never the caller's.
-- A function answers with a code and never raises for a refusal; callers are named at each one.

CREATE FUNCTION clock_ms() RETURNS bigint LANGUAGE sql VOLATILE AS
    'SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint';

-- Drawn, not counted: a rebuild that rolled back must not leave its epoch to the next one.
CREATE SEQUENCE stock_epochs;

-- on_hand = stocked - sold, held = taken - sold, available = stocked - taken.
CREATE TABLE stock (
    show_id     text NOT NULL,
    variant_id  text NOT NULL,
    stocked     int NOT NULL,              -- opening + restocked + returned: every unit ever put on the shelf
    taken       int NOT NULL DEFAULT 0,    -- held + sold: every unit off the shelf
    sold        int NOT NULL DEFAULT 0,    -- gross: a unit that comes back raises stocked and returned instead
    returned    int NOT NULL DEFAULT 0,
    open        boolean NOT NULL,
    epoch       bigint NOT NULL DEFAULT nextval('stock_epochs'),  -- of the gate built from this row
    version     bigint NOT NULL DEFAULT 1,                        -- rises with each write
    ledger_seq  bigint NOT NULL DEFAULT 0,
    ledger_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex'),
    PRIMARY KEY (show_id, variant_id),
    FOREIGN KEY (show_id, variant_id) REFERENCES show_items,
    CONSTRAINT never_oversold CHECK (taken >= 0 AND taken <= stocked),
    CONSTRAINT held_not_negative CHECK (taken >= sold),
    CONSTRAINT returned_was_sold CHECK (sold >= 0 AND returned >= 0 AND returned <= sold)
) WITH (fillfactor = 20);

-- The kill switch. A show without a row is closed.
CREATE TABLE sales (
    show_id  text PRIMARY KEY REFERENCES shows,
    open     boolean NOT NULL
);

CREATE TABLE holds (
    hold_id       text PRIMARY KEY,
    show_id       text NOT NULL,
    variant_id    text NOT NULL,
    buyer_id      text NOT NULL,
    buyer_name    text NOT NULL,
    quantity      int NOT NULL CHECK (quantity >= 1),
    state         text NOT NULL DEFAULT 'held' CHECK (state IN ('held', 'paying', 'sold', 'expired', 'released')),
    unit_amount   bigint NOT NULL CHECK (unit_amount >= 0),
    currency      text NOT NULL,
    created_at_ms bigint NOT NULL,
    held_until_ms bigint NOT NULL,           -- as promised at the tap
    expires_at_ms bigint NOT NULL,           -- held_until_ms, or later while paying
    payment_id    text,
    order_id      text,
    returned      boolean NOT NULL DEFAULT false
    -- No foreign key to stock: reserve_many() has that row locked; to look it up again for each hold is work for nothing.
) WITH (fillfactor = 80);
CREATE INDEX holds_due ON holds (expires_at_ms) WHERE state = 'held';
CREATE INDEX holds_off_shelf ON holds (show_id, variant_id)
    WHERE state IN ('held', 'paying') OR (state = 'sold' AND NOT returned);

-- A hold id that must never be reserved any more: its gate unit went back.
CREATE TABLE fences (
    hold_id  text PRIMARY KEY,
    at_ms    bigint NOT NULL
);

-- Units a buyer holds or keeps, for the limit.
CREATE TABLE buyers (
    show_id     text NOT NULL,
    variant_id  text NOT NULL,
    buyer_id    text NOT NULL,
    units       int NOT NULL CHECK (units >= 0),
    PRIMARY KEY (show_id, variant_id, buyer_id)
) WITH (fillfactor = 70);

-- One try to pay for one hold; its id is the idempotency key at the provider.
CREATE TABLE payments (
    payment_id     text PRIMARY KEY,
    hold_id        text NOT NULL REFERENCES holds,
    provider       text NOT NULL,
    method         text NOT NULL,
    amount         bigint NOT NULL CHECK (amount >= 0),
    currency       text NOT NULL,
    state          text NOT NULL DEFAULT 'authorizing'
        CHECK (state IN ('authorizing', 'authorized', 'declined', 'captured', 'capture_failed', 'cancelled')),
    created_at_ms  bigint NOT NULL,
    check_at_ms    bigint NOT NULL
);
CREATE INDEX payments_undecided ON payments (check_at_ms) WHERE state = 'authorizing';
CREATE UNIQUE INDEX one_payment_at_a_time ON payments (hold_id) WHERE state NOT IN ('declined', 'cancelled');

CREATE TABLE orders (
    order_id       text PRIMARY KEY,
    hold_id        text NOT NULL UNIQUE REFERENCES holds,
    payment_id     text NOT NULL UNIQUE REFERENCES payments,
    show_id        text NOT NULL,
    variant_id     text NOT NULL,
    buyer_id       text NOT NULL,
    buyer_name     text NOT NULL,
    quantity       int NOT NULL CHECK (quantity >= 1),
    state          text NOT NULL DEFAULT 'paid'
        CHECK (state IN ('paid', 'captured', 'capture_failed', 'partially_refunded', 'refunded')),
    unit_amount    bigint NOT NULL,
    total          bigint NOT NULL CHECK (total = unit_amount * quantity),
    refunded       bigint NOT NULL DEFAULT 0,
    currency       text NOT NULL,
    created_at_ms  bigint NOT NULL,
    CONSTRAINT never_refunded_twice CHECK (refunded >= 0 AND refunded <= total)
);
CREATE INDEX orders_of_show ON orders (show_id, order_id DESC);

CREATE TABLE refunds (
    refund_id       text PRIMARY KEY,
    order_id        text NOT NULL REFERENCES orders,
    asked           bigint,                  -- null: all that was left
    amount          bigint NOT NULL CHECK (amount >= 0),
    currency        text NOT NULL,
    units_returned  int NOT NULL,
    order_state     text NOT NULL,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'settled')),
    created_at_ms   bigint NOT NULL
);

-- What must still be said to the provider. Written in the transaction that decided it.
CREATE TABLE outbox (
    outbox_id    bigserial PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('capture', 'refund', 'cancel')),
    payment_id   text NOT NULL REFERENCES payments,
    order_id     text,
    refund_id    text,
    amount       bigint NOT NULL,
    currency     text NOT NULL,
    state        text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'done', 'parked')),
    attempts     int NOT NULL DEFAULT 0,
    due_at_ms    bigint NOT NULL
);
CREATE INDEX outbox_due ON outbox (due_at_ms) WHERE state = 'pending';

CREATE TABLE provider_events (
    provider    text NOT NULL,
    event_id    text NOT NULL,
    payment_id  text NOT NULL,
    at_ms       bigint NOT NULL,
    PRIMARY KEY (provider, event_id)
);

-- Kept for good. `status` is null while the first request is still being answered.
CREATE TABLE idempotency_keys (
    account_id      text NOT NULL,
    operation       text NOT NULL,
    key             text NOT NULL,
    fingerprint     text NOT NULL,
    lease_until_ms  bigint NOT NULL,
    status          smallint,
    answer          text,
    PRIMARY KEY (account_id, operation, key)
);

-- Append-only, one hash chain per product:
--     hash = sha256(prev_hash || the other columns from show_id to at_ms, joined by 0x1f, null as '')
CREATE TABLE ledger (
    show_id     text NOT NULL,
    variant_id  text NOT NULL,
    seq         bigint NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('opening', 'restocked', 'sold', 'returned', 'capture', 'refund')),
    units       int NOT NULL,
    amount      bigint NOT NULL,
    currency    text,
    order_id    text,
    hold_id     text,
    refund_id   text,
    at_ms       bigint NOT NULL,
    prev_hash   bytea NOT NULL,
    hash        bytea NOT NULL,
    PRIMARY KEY (show_id, variant_id, seq)
);
CREATE UNIQUE INDEX ledger_once_per_order ON ledger (order_id, kind) WHERE kind IN ('sold', 'returned', 'capture');
CREATE UNIQUE INDEX ledger_once_per_refund ON ledger (refund_id) WHERE kind = 'refund';

CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only';
END $$;
CREATE TRIGGER ledger_keeps_rows BEFORE UPDATE OR DELETE ON ledger
    FOR EACH ROW EXECUTE FUNCTION ledger_is_append_only();
CREATE TRIGGER ledger_keeps_all BEFORE TRUNCATE ON ledger
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();

-- The moves of checkout/core/reservation.py and checkout/core/order.py once more, as the last line of defence.
-- A test compares both with the tables there.
CREATE FUNCTION guard_hold_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state || '>' || NEW.state NOT IN (
        'held>paying', 'held>released', 'held>expired', 'paying>sold', 'paying>held', 'paying>released'
    ) THEN
        RAISE EXCEPTION 'a hold never moves from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER holds_move BEFORE UPDATE ON holds
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION guard_hold_move();

CREATE FUNCTION guard_order_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state || '>' || NEW.state NOT IN (
        'paid>captured', 'paid>capture_failed', 'captured>partially_refunded', 'captured>refunded',
        'partially_refunded>refunded'
    ) THEN
        RAISE EXCEPTION 'an order never moves from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER orders_move BEFORE UPDATE ON orders
    FOR EACH ROW WHEN (OLD.state <> NEW.state) EXECUTE FUNCTION guard_order_move();

-- Appends one entry to a product's chain. Guarantees: seq without gaps, hash over its predecessor.
-- Takes the stock row's lock, which every caller already has. Called by the functions below only.
CREATE FUNCTION ledger_append(
    p_show text, p_variant text, p_kind text, p_units int, p_amount bigint, p_currency text,
    p_order text, p_hold text, p_refund text
) RETURNS stock LANGUAGE plpgsql AS $$
DECLARE
    item stock;
    next_hash bytea;
    now_ms bigint := clock_ms();
BEGIN
    SELECT * INTO STRICT item FROM stock WHERE show_id = p_show AND variant_id = p_variant FOR UPDATE;
    next_hash := sha256(item.ledger_hash || convert_to(array_to_string(ARRAY[
        p_show, p_variant, (item.ledger_seq + 1)::text, p_kind, p_units::text, p_amount::text, p_currency,
        p_order, p_hold, p_refund, now_ms::text], E'\x1f', ''), 'UTF8'));
    INSERT INTO ledger VALUES (p_show, p_variant, item.ledger_seq + 1, p_kind, p_units, p_amount, p_currency,
        p_order, p_hold, p_refund, now_ms, item.ledger_hash, next_hash);
    UPDATE stock SET ledger_seq = ledger_seq + 1, ledger_hash = next_hash
        WHERE show_id = p_show AND variant_id = p_variant RETURNING * INTO item;
    RETURN item;
END $$;

-- Puts a product's opening stock on the shelf, once. Code: ok, or exists. Caller: Desk.allocate.
CREATE FUNCTION allocate(p_show text, p_variant text, p_opening int, OUT code text, OUT item stock)
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO stock (show_id, variant_id, stocked, open)
        VALUES (p_show, p_variant, p_opening, coalesce((SELECT open FROM sales WHERE show_id = p_show), false))
        ON CONFLICT DO NOTHING RETURNING * INTO item;
    IF item IS NULL THEN
        code := 'exists';
        RETURN;
    END IF;
    item := ledger_append(p_show, p_variant, 'opening', p_opening, 0, NULL, NULL, NULL, NULL);
    code := 'ok';
END $$;

-- Decides a batch of holds on one product, in order, under its one row lock.
-- Guarantees: a hold id is decided once for good; nobody over the limit; nothing over the stock, by its own
-- condition and by the CHECK never_oversold as the last line.
-- In: distinct hold ids with buyer, name and units (arrays of one length); how long the holds last.
-- Out: a code each (1 held, 2 known already, -1 sold out, -2 over the limit, -3 sales closed, -5 fenced), the
-- time, the price frozen into the holds, the stock row; all null where there is no such product.
-- Sequential scans are off because the plan is cached while the tables are still empty.
-- Caller: truth.Truth.
CREATE FUNCTION reserve_many(
    p_show text, p_variant text, p_holds text[], p_buyers text[], p_names text[], p_quantities int[], p_hold_ms bigint,
    OUT codes smallint[], OUT at_ms bigint, OUT unit_amount bigint, OUT currency text, OUT item stock
) LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
    tap record;
    free int;
    most int;
    had int;
    code smallint;
    units int := 0;
    any_fences boolean;  -- hardly ever: saves a look-up for each tap
    repeated jsonb := '{}';  -- units of buyers who stand in this batch more than once
BEGIN
    SELECT * INTO item FROM stock s WHERE s.show_id = p_show AND s.variant_id = p_variant FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT i.price_amount, i.currency, i.limit_per_buyer INTO unit_amount, currency, most
        FROM show_items i WHERE i.show_id = p_show AND i.variant_id = p_variant;
    any_fences := EXISTS (SELECT FROM fences);  -- after the lock: fence_many() takes it too
    at_ms := clock_ms();
    free := item.stocked - item.taken;
    FOR tap IN
        SELECT r.buyer, r.quantity,
            EXISTS (SELECT FROM holds h WHERE h.hold_id = r.hold) AS known,
            CASE WHEN any_fences THEN EXISTS (SELECT FROM fences f WHERE f.hold_id = r.hold) ELSE false END AS fenced,
            (SELECT b.units FROM buyers b
                WHERE b.show_id = p_show AND b.variant_id = p_variant AND b.buyer_id = r.buyer) AS had,
            count(*) OVER (PARTITION BY r.buyer) AS times
        FROM unnest(p_holds, p_buyers, p_quantities) WITH ORDINALITY AS r (hold, buyer, quantity, o)
        ORDER BY r.o
    LOOP
        had := coalesce(tap.had, 0);
        IF tap.times > 1 THEN
            had := had + coalesce((repeated ->> tap.buyer)::int, 0);
        END IF;
        IF tap.known THEN
            code := 2;
        ELSIF tap.fenced THEN
            code := -5;
        ELSIF NOT item.open THEN
            code := -3;
        ELSIF had + tap.quantity > most THEN
            code := -2;
        ELSIF tap.quantity > free THEN
            code := -1;
        ELSE
            code := 1;
            free := free - tap.quantity;
            units := units + tap.quantity;
            IF tap.times > 1 THEN
                repeated := jsonb_set(repeated, ARRAY[tap.buyer],
                    to_jsonb(coalesce((repeated ->> tap.buyer)::int, 0) + tap.quantity));
            END IF;
        END IF;
        codes := codes || code;
    END LOOP;
    IF units = 0 THEN
        RETURN;
    END IF;
    INSERT INTO holds (hold_id, show_id, variant_id, buyer_id, buyer_name, quantity, unit_amount, currency,
            created_at_ms, held_until_ms, expires_at_ms)
        SELECT r.hold, p_show, p_variant, r.buyer, r.name, r.quantity, reserve_many.unit_amount, reserve_many.currency,
            at_ms, at_ms + p_hold_ms, at_ms + p_hold_ms
        FROM unnest(p_holds, p_buyers, p_names, p_quantities, codes) AS r (hold, buyer, name, quantity, code)
        WHERE r.code = 1;
    INSERT INTO buyers AS b (show_id, variant_id, buyer_id, units)
        SELECT p_show, p_variant, r.buyer, sum(r.quantity)
        FROM unnest(p_buyers, p_quantities, codes) AS r (buyer, quantity, code)
        WHERE r.code = 1 GROUP BY r.buyer
        ON CONFLICT (show_id, variant_id, buyer_id) DO UPDATE SET units = b.units + excluded.units;
    UPDATE stock s SET taken = s.taken + units, version = s.version + 1
        WHERE s.show_id = p_show AND s.variant_id = p_variant
        RETURNING s.* INTO item;
END $$;

-- Makes hold ids unusable that the gate admitted and nobody committed, so that their units may go back.
-- Guarantees: after it, a hold id is either in holds or can never get there.
-- Out: for each id in p_holds, true if it is a hold (leave its unit alone); the stock row. Caller: Truth.fence.
CREATE FUNCTION fence_many(p_show text, p_variant text, p_holds text[], OUT known boolean[], OUT item stock)
LANGUAGE plpgsql AS $$
BEGIN
    SELECT * INTO item FROM stock s WHERE s.show_id = p_show AND s.variant_id = p_variant FOR UPDATE;
    SELECT array_agg(EXISTS (SELECT FROM holds h WHERE h.hold_id = r.hold) ORDER BY r.o) INTO known
        FROM unnest(p_holds) WITH ORDINALITY AS r (hold, o);
    INSERT INTO fences SELECT r.hold, clock_ms() FROM unnest(p_holds, known) AS r (hold, is_hold)
        WHERE NOT r.is_hold ON CONFLICT DO NOTHING;
END $$;

-- Puts the units of a hold that ends without a sale back on the shelf. The caller has the stock row's lock
-- and has just moved the hold. Called by the functions below only.
CREATE FUNCTION free_units(hold holds) RETURNS stock LANGUAGE plpgsql AS $$
DECLARE
    item stock;
BEGIN
    UPDATE buyers SET units = units - hold.quantity
        WHERE show_id = hold.show_id AND variant_id = hold.variant_id AND buyer_id = hold.buyer_id;
    UPDATE stock SET taken = taken - hold.quantity, version = version + 1
        WHERE show_id = hold.show_id AND variant_id = hold.variant_id RETURNING * INTO item;
    RETURN item;
END $$;

-- Puts sold units back on the shelf, once per order (ledger_once_per_order). The caller has the stock row's lock.
-- Called by the functions below only.
CREATE FUNCTION return_units(o orders) RETURNS stock LANGUAGE plpgsql AS $$
BEGIN
    UPDATE holds SET returned = true WHERE hold_id = o.hold_id;
    UPDATE buyers SET units = units - o.quantity
        WHERE show_id = o.show_id AND variant_id = o.variant_id AND buyer_id = o.buyer_id;
    UPDATE stock SET stocked = stocked + o.quantity, returned = returned + o.quantity, version = version + 1
        WHERE show_id = o.show_id AND variant_id = o.variant_id;
    RETURN ledger_append(o.show_id, o.variant_id, 'returned', o.quantity, 0, NULL, o.order_id, o.hold_id, NULL);
END $$;

-- HELD -> RELEASED. p_buyer null: whoever's. Code: ok, gone (already ended without a sale), busy (being paid or
-- sold), none (no such hold of theirs). Caller: Desk.release.
CREATE FUNCTION release_hold(p_hold text, p_buyer text, OUT code text, OUT item stock) LANGUAGE plpgsql AS $$
DECLARE
    hold holds;
BEGIN
    SELECT * INTO hold FROM holds WHERE hold_id = p_hold AND (p_buyer IS NULL OR buyer_id = p_buyer);
    IF NOT FOUND THEN
        code := 'none';
        RETURN;
    END IF;
    PERFORM FROM stock WHERE show_id = hold.show_id AND variant_id = hold.variant_id FOR UPDATE;
    UPDATE holds SET state = 'released' WHERE hold_id = p_hold AND state = 'held' RETURNING * INTO hold;
    IF FOUND THEN
        code := 'ok';
        item := free_units(hold);
        RETURN;
    END IF;
    SELECT CASE WHEN state IN ('paying', 'sold') THEN 'busy' ELSE 'gone' END INTO code FROM holds WHERE hold_id = p_hold;
END $$;

-- HELD -> EXPIRED for the holds of one product whose time is over, at most p_most of them.
-- Guarantees: each returns its units once; a hold being paid for this instant is skipped, never waited for.
-- Out: the ids and the stock row, null if there was nothing. Caller: the desk's sweeper.
CREATE FUNCTION expire_holds(p_show text, p_variant text, p_most int, OUT expired text[], OUT item stock)
LANGUAGE plpgsql AS $$
DECLARE
    hold holds;
BEGIN
    PERFORM FROM stock WHERE show_id = p_show AND variant_id = p_variant FOR UPDATE;
    FOR hold IN
        SELECT * FROM holds
        WHERE state = 'held' AND expires_at_ms <= clock_ms() AND show_id = p_show AND variant_id = p_variant
        ORDER BY expires_at_ms LIMIT p_most FOR UPDATE SKIP LOCKED
    LOOP
        UPDATE holds SET state = 'expired' WHERE hold_id = hold.hold_id;
        item := free_units(hold);
        expired := expired || hold.hold_id;
    END LOOP;
END $$;

-- HELD -> PAYING, and the record of the payment that is about to be authorized.
-- Guarantees: one payment at a time for a hold; from here the hold does not expire.
-- Code: ok, paying (one is under way), sold, lapsed, none; with the hold, and its payment where there is one.
-- Caller: Desk.pay.
CREATE FUNCTION begin_payment(
    p_hold text, p_buyer text, p_payment text, p_provider text, p_method text, p_pay_ms bigint, p_check_ms bigint,
    OUT code text, OUT hold holds, OUT payment payments
) LANGUAGE plpgsql AS $$
DECLARE
    now_ms bigint;
BEGIN
    SELECT * INTO hold FROM holds h WHERE h.hold_id = p_hold AND h.buyer_id = p_buyer FOR UPDATE;
    now_ms := clock_ms();
    IF NOT FOUND THEN
        code := 'none';
    ELSIF hold.state IN ('paying', 'sold') THEN
        code := hold.state;
        SELECT * INTO payment FROM payments p WHERE p.payment_id = hold.payment_id;
    ELSIF hold.state <> 'held' OR hold.expires_at_ms <= now_ms THEN
        code := 'lapsed';
    ELSE
        code := 'ok';
        INSERT INTO payments (payment_id, hold_id, provider, method, amount, currency, created_at_ms, check_at_ms)
            VALUES (p_payment, p_hold, p_provider, p_method, hold.unit_amount * hold.quantity, hold.currency,
                now_ms, now_ms + p_check_ms)
            RETURNING * INTO payment;
        UPDATE holds h SET state = 'paying', payment_id = p_payment,
                expires_at_ms = greatest(h.expires_at_ms, now_ms + p_pay_ms)
            WHERE h.hold_id = p_hold RETURNING * INTO hold;
    END IF;
END $$;

-- Applies what the provider decided about a payment: 'authorized', or 'declined' (nothing is authorized, for sure).
-- authorized: PAYING -> SOLD, the order, its ledger entry and the capture's outbox entry in one transaction.
-- declined: PAYING -> HELD while its promised time lasts, else RELEASED, and its units go back.
-- Guarantees: a payment is settled once; an authorization that has no hold any more is cancelled.
-- Code: sold, held, released (units went back), settled (it was already; nothing moved), void, none; with the hold.
-- Callers: Desk.pay, the webhook, the poll for undecided payments.
CREATE FUNCTION settle_payment(p_payment text, p_outcome text, p_order text, OUT code text, OUT hold holds, OUT item stock)
LANGUAGE plpgsql AS $$
DECLARE
    payment payments;
BEGIN
    SELECT h.* INTO hold FROM payments p JOIN holds h USING (hold_id) WHERE p.payment_id = p_payment;
    IF NOT FOUND THEN
        code := 'none';
        RETURN;
    END IF;
    SELECT * INTO item FROM stock s WHERE s.show_id = hold.show_id AND s.variant_id = hold.variant_id FOR UPDATE;
    SELECT * INTO hold FROM holds h WHERE h.hold_id = hold.hold_id FOR UPDATE;
    SELECT * INTO payment FROM payments p WHERE p.payment_id = p_payment FOR UPDATE;
    IF payment.state <> 'authorizing' THEN
        code := 'settled';
        RETURN;
    END IF;
    UPDATE payments p SET state = p_outcome WHERE p.payment_id = p_payment;
    IF hold.state <> 'paying' OR hold.payment_id <> p_payment THEN
        code := 'void';
        IF p_outcome = 'authorized' THEN
            INSERT INTO outbox (kind, payment_id, amount, currency, due_at_ms)
                VALUES ('cancel', p_payment, payment.amount, payment.currency, clock_ms());
        END IF;
    ELSIF p_outcome = 'authorized' THEN
        code := 'sold';
        UPDATE holds h SET state = 'sold', order_id = p_order WHERE h.hold_id = hold.hold_id RETURNING * INTO hold;
        INSERT INTO orders (order_id, hold_id, payment_id, show_id, variant_id, buyer_id, buyer_name, quantity,
                unit_amount, total, currency, created_at_ms)
            VALUES (p_order, hold.hold_id, p_payment, hold.show_id, hold.variant_id, hold.buyer_id, hold.buyer_name,
                hold.quantity, hold.unit_amount, payment.amount, hold.currency, clock_ms());
        UPDATE stock s SET sold = s.sold + hold.quantity, version = s.version + 1
            WHERE s.show_id = hold.show_id AND s.variant_id = hold.variant_id;
        item := ledger_append(hold.show_id, hold.variant_id, 'sold', hold.quantity, payment.amount, payment.currency,
            p_order, hold.hold_id, NULL);
        INSERT INTO outbox (kind, payment_id, order_id, amount, currency, due_at_ms)
            VALUES ('capture', p_payment, p_order, payment.amount, payment.currency, clock_ms());
    ELSIF hold.held_until_ms > clock_ms() THEN
        code := 'held';
        UPDATE holds h SET state = 'held', expires_at_ms = h.held_until_ms
            WHERE h.hold_id = hold.hold_id RETURNING * INTO hold;
    ELSE
        code := 'released';
        UPDATE holds h SET state = 'released' WHERE h.hold_id = hold.hold_id RETURNING * INTO hold;
        item := free_units(hold);
    END IF;
END $$;

-- PAID -> CAPTURED with the money's ledger entry, or -> CAPTURE_FAILED with the units' return.
-- Guarantees: once. Code: ok, or settled (it was already). Caller: the desk's outbox.
CREATE FUNCTION settle_capture(p_order text, p_captured boolean, OUT code text, OUT hold_id text, OUT item stock)
LANGUAGE plpgsql AS $$
DECLARE
    o orders;
BEGIN
    SELECT * INTO STRICT o FROM orders WHERE order_id = p_order;
    hold_id := o.hold_id;
    PERFORM FROM stock s WHERE s.show_id = o.show_id AND s.variant_id = o.variant_id FOR UPDATE;
    UPDATE orders SET state = CASE WHEN p_captured THEN 'captured' ELSE 'capture_failed' END
        WHERE order_id = p_order AND state = 'paid';
    IF NOT FOUND THEN
        code := 'settled';
        RETURN;
    END IF;
    code := 'ok';
    UPDATE payments SET state = CASE WHEN p_captured THEN 'captured' ELSE 'capture_failed' END
        WHERE payment_id = o.payment_id;
    IF p_captured THEN
        item := ledger_append(o.show_id, o.variant_id, 'capture', 0, o.total, o.currency, o.order_id, o.hold_id, NULL);
    ELSE
        item := return_units(o);
    END IF;
END $$;

-- Decides a refund: money, and for the refund that empties the order its units, exactly once.
-- p_amount null: all that is left. Code: ok, known (this refund id was decided before), pending (no capture yet), failed (never captured),
-- too_much, refunded (nothing is left), none; with the refund and the order. Caller: Desk.refund.
CREATE FUNCTION refund_order(
    p_order text, p_amount bigint, p_refund text,
    OUT code text, OUT o orders, OUT r refunds, OUT item stock
) LANGUAGE plpgsql AS $$
DECLARE
    given bigint;
    empties boolean;
BEGIN
    SELECT * INTO o FROM orders x WHERE x.order_id = p_order;
    IF NOT FOUND THEN
        code := 'none';
        RETURN;
    END IF;
    PERFORM FROM stock s WHERE s.show_id = o.show_id AND s.variant_id = o.variant_id FOR UPDATE;
    SELECT * INTO o FROM orders x WHERE x.order_id = p_order FOR UPDATE;
    SELECT * INTO r FROM refunds x WHERE x.refund_id = p_refund;
    IF FOUND THEN
        code := 'known';
        RETURN;
    END IF;
    given := coalesce(p_amount, o.total - o.refunded);
    code := CASE
        WHEN o.state = 'paid' THEN 'pending'
        WHEN o.state = 'capture_failed' THEN 'failed'
        WHEN o.state = 'refunded' THEN 'refunded'
        WHEN given > o.total - o.refunded THEN 'too_much'
        ELSE 'ok' END;
    IF code <> 'ok' THEN
        RETURN;
    END IF;
    empties := o.refunded + given = o.total;
    UPDATE orders x SET refunded = x.refunded + given,
            state = CASE WHEN empties THEN 'refunded' ELSE 'partially_refunded' END
        WHERE x.order_id = p_order RETURNING * INTO o;
    INSERT INTO refunds (refund_id, order_id, asked, amount, currency, units_returned, order_state, created_at_ms)
        VALUES (p_refund, p_order, p_amount, given, o.currency, CASE WHEN empties THEN o.quantity ELSE 0 END, o.state, clock_ms())
        RETURNING * INTO r;
    item := ledger_append(o.show_id, o.variant_id, 'refund', 0, given, o.currency, o.order_id, o.hold_id, p_refund);
    IF empties THEN
        item := return_units(o);
    END IF;
    INSERT INTO outbox (kind, payment_id, order_id, refund_id, amount, currency, due_at_ms)
        VALUES ('refund', o.payment_id, p_order, p_refund, given, o.currency, clock_ms());
END $$;

-- More units on the shelf. The stock row is null where there is no such product. Caller: Desk.restock.
CREATE FUNCTION restock(p_show text, p_variant text, p_units int, OUT item stock) LANGUAGE plpgsql AS $$
BEGIN
    UPDATE stock SET stocked = stocked + p_units, version = version + 1
        WHERE show_id = p_show AND variant_id = p_variant;
    IF FOUND THEN
        item := ledger_append(p_show, p_variant, 'restocked', p_units, 0, NULL, NULL, NULL, NULL);
    END IF;
END $$;

-- The kill switch: for every product of a show, in one order. Touches nothing already promised.
-- Out: the stock rows. Caller: Desk.set_sales.
CREATE FUNCTION set_sales(p_show text, p_open boolean) RETURNS SETOF stock LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sales VALUES (p_show, p_open) ON CONFLICT (show_id) DO UPDATE SET open = p_open;
    PERFORM FROM stock WHERE show_id = p_show ORDER BY variant_id FOR UPDATE;
    RETURN QUERY UPDATE stock SET open = p_open, version = version + 1 WHERE show_id = p_show RETURNING *;
END $$;

-- Takes due entries of the outbox for p_lease_ms; whoever dies with them leaves them to the next.
-- Caller: the desk's outbox.
CREATE FUNCTION claim_outbox(p_most int, p_lease_ms bigint) RETURNS SETOF outbox LANGUAGE sql AS $$
    UPDATE outbox SET attempts = attempts + 1, due_at_ms = clock_ms() + p_lease_ms
    WHERE outbox_id IN (
        SELECT outbox_id FROM outbox WHERE state = 'pending' AND due_at_ms <= clock_ms()
        ORDER BY due_at_ms LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING *;
$$;

-- Takes payments that are still undecided and due for a look, for p_lease_ms. Caller: the desk's poll.
CREATE FUNCTION claim_undecided(p_most int, p_lease_ms bigint)
RETURNS TABLE (payment_id text, age_ms bigint) LANGUAGE sql AS $$
    UPDATE payments p SET check_at_ms = clock_ms() + p_lease_ms
    WHERE p.payment_id IN (
        SELECT q.payment_id FROM payments q WHERE q.state = 'authorizing' AND q.check_at_ms <= clock_ms()
        ORDER BY q.check_at_ms LIMIT p_most FOR UPDATE SKIP LOCKED)
    RETURNING p.payment_id, clock_ms() - p.created_at_ms;
$$;

-- Claims an idempotency key for one request. Code: mine (answer it), then call finish or drop; replay; mismatch;
-- in_flight. A claim whose owner died is free again after its lease. Caller: truth.Keys.
CREATE FUNCTION claim_key(
    p_account text, p_operation text, p_key text, p_fingerprint text, p_lease_ms bigint,
    OUT code text, OUT saved idempotency_keys
) LANGUAGE plpgsql AS $$
DECLARE
    now_ms bigint := clock_ms();
BEGIN
    INSERT INTO idempotency_keys VALUES (p_account, p_operation, p_key, p_fingerprint, now_ms + p_lease_ms)
        ON CONFLICT DO NOTHING;
    IF FOUND THEN
        code := 'mine';
        RETURN;
    END IF;
    SELECT * INTO saved FROM idempotency_keys k
        WHERE k.account_id = p_account AND k.operation = p_operation AND k.key = p_key FOR UPDATE;
    code := CASE
        WHEN saved.fingerprint <> p_fingerprint THEN 'mismatch'
        WHEN saved.status IS NOT NULL THEN 'replay'
        WHEN saved.lease_until_ms > now_ms THEN 'in_flight'
        ELSE 'mine' END;
    IF code = 'mine' THEN
        UPDATE idempotency_keys k SET lease_until_ms = now_ms + p_lease_ms
            WHERE k.account_id = p_account AND k.operation = p_operation AND k.key = p_key;
    END IF;
END $$;
