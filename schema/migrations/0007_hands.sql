-- migrate:up

-- The operator's hands and what follows from them: the audit log, units taken off the shelf, the low-stock alert,
-- webhooks out, and what an order's receipt needs. What is told of orders, stock and shows is written by triggers of
-- those tables, so that it commits with the fact whoever states it.
--
-- Locks come after all those of 0002_checkout.sql: order_counters, then webhook_events and deliveries, audit_head last.

-- Append-only, one hash chain:
--     hash = sha256(prev_hash || seq and the columns from act_id to at_ms, joined by 0x1f, null as '')
-- Two entries an act: `asked` before it is done, and its outcome. One without the other: nobody knows how it ended.
CREATE TABLE audit (
    seq         bigint PRIMARY KEY,
    act_id      text NOT NULL,
    phase       text NOT NULL CHECK (phase IN ('asked', 'done', 'refused')),
    show_id     text,                       -- null: of no show in particular
    account_id  text NOT NULL,
    role        text NOT NULL,
    name        text NOT NULL,
    action      text NOT NULL,
    object      text NOT NULL,
    before      text,                       -- JSON, both
    after       text,
    at_ms       bigint NOT NULL,
    prev_hash   bytea NOT NULL,
    hash        bytea NOT NULL
);
CREATE UNIQUE INDEX audit_once ON audit (act_id, phase);
CREATE INDEX audit_of_show ON audit (show_id, seq DESC);

CREATE TABLE audit_head (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    seq   bigint NOT NULL DEFAULT 0,
    hash  bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
);
INSERT INTO audit_head DEFAULT VALUES;

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only';
END $$;
CREATE TRIGGER audit_keeps_rows BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_keeps_all BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- Appends one entry, once for each act and phase. Guarantees: seq without gaps, hash over its predecessor.
-- In: no text may hold 0x1f. Out: its seq. Caller: Audit._append.
CREATE FUNCTION audit_append(
    p_act text, p_phase text, p_show text, p_account text, p_role text, p_name text, p_action text, p_object text,
    p_before text, p_after text
) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    head audit_head;
    known bigint;
    next_hash bytea;
    now_ms bigint;
BEGIN
    SELECT * INTO STRICT head FROM audit_head FOR UPDATE;
    SELECT a.seq INTO known FROM audit a WHERE a.act_id = p_act AND a.phase = p_phase;
    IF FOUND THEN
        RETURN known;
    END IF;
    now_ms := clock_ms();
    next_hash := sha256(head.hash || convert_to(array_to_string(ARRAY[
        (head.seq + 1)::text, p_act, p_phase, p_show, p_account, p_role, p_name, p_action, p_object, p_before, p_after,
        now_ms::text], E'\x1f', ''), 'UTF8'));
    INSERT INTO audit VALUES (head.seq + 1, p_act, p_phase, p_show, p_account, p_role, p_name, p_action, p_object,
        p_before, p_after, now_ms, head.hash, next_hash);
    UPDATE audit_head SET seq = head.seq + 1, hash = next_hash;
    RETURN head.seq + 1;
END $$;

-- -- units taken off the shelf ----------------------------------------------------------------------------------------

-- From here on: stocked = opening + restocked + returned - withdrawn. `withdrawn` is gross, as `sold` is.
ALTER TABLE stock
    ADD COLUMN withdrawn int NOT NULL DEFAULT 0 CHECK (withdrawn >= 0),
    ADD COLUMN low_at int NOT NULL DEFAULT 5 CHECK (low_at >= 0),  -- at so few left the operator is told; 0: never
    ADD COLUMN low_since_ms bigint;                                -- when that was; null: told when it comes to it

CREATE TABLE withdrawals (
    withdrawal_id  text PRIMARY KEY,
    show_id        text NOT NULL,
    variant_id     text NOT NULL,
    units          int NOT NULL CHECK (units >= 1),
    reason         text NOT NULL,
    at_ms          bigint NOT NULL
);

-- Whatever kinds there are by now, and one more.
DO $$
DECLARE
    rule record;
BEGIN
    SELECT conname, pg_get_constraintdef(oid) AS text INTO STRICT rule FROM pg_constraint
        WHERE conrelid = 'ledger'::regclass AND contype = 'c' AND pg_get_constraintdef(oid) LIKE '%''opening''%';
    EXECUTE format('ALTER TABLE ledger DROP CONSTRAINT %I', rule.conname);
    EXECUTE format('ALTER TABLE ledger ADD CONSTRAINT %I %s', rule.conname,
        replace(rule.text, '''opening''::text', '''opening''::text, ''withdrawn''::text'));
END $$;

-- Takes units off the shelf that nobody holds, once for each p_withdrawal.
-- Code: ok, known (it was done before; nothing moved), mismatch (it was another withdrawal), short (fewer are
-- available; the stock row says how many), none (no such product); with the stock row. Caller: Stockroom.withdraw.
CREATE FUNCTION withdraw(
    p_show text, p_variant text, p_units int, p_reason text, p_withdrawal text, OUT code text, OUT item stock
) LANGUAGE plpgsql AS $$
BEGIN
    SELECT * INTO item FROM stock s WHERE s.show_id = p_show AND s.variant_id = p_variant FOR UPDATE;
    IF NOT FOUND THEN
        code := 'none';
        RETURN;
    END IF;
    IF EXISTS (SELECT FROM withdrawals w WHERE w.withdrawal_id = p_withdrawal) THEN
        code := CASE WHEN EXISTS (SELECT FROM withdrawals w WHERE w.withdrawal_id = p_withdrawal AND w.show_id = p_show
            AND w.variant_id = p_variant AND w.units = p_units) THEN 'known' ELSE 'mismatch' END;
        RETURN;
    END IF;
    IF p_units > item.stocked - item.taken THEN
        code := 'short';
        RETURN;
    END IF;
    code := 'ok';
    INSERT INTO withdrawals VALUES (p_withdrawal, p_show, p_variant, p_units, p_reason, clock_ms());
    UPDATE stock s SET stocked = s.stocked - p_units, withdrawn = s.withdrawn + p_units, version = s.version + 1
        WHERE s.show_id = p_show AND s.variant_id = p_variant;
    item := ledger_append(p_show, p_variant, 'withdrawn', p_units, 0, NULL, NULL, NULL, NULL);
END $$;

-- -- webhooks out -----------------------------------------------------------------------------------------------------

CREATE TABLE webhook_endpoints (
    endpoint_id       text PRIMARY KEY,
    url               text NOT NULL,
    secret            text NOT NULL,
    types             text[] NOT NULL,
    state             text NOT NULL DEFAULT 'enabled' CHECK (state IN ('enabled', 'disabled', 'failed', 'deleted')),
    failing_since_ms  bigint,             -- of the first failure since the last success
    created_at_ms     bigint NOT NULL
);

CREATE TABLE webhook_events (
    event_id       text PRIMARY KEY,      -- the webhook-id of every try
    type           text NOT NULL,
    show_id        text,
    object_id      text,                  -- the order, refund, variant or show it is about
    data           jsonb NOT NULL,
    test           boolean NOT NULL,      -- of a rehearsal, or asked for
    created_at_ms  bigint NOT NULL,
    body           text                   -- made with the first try; the same bytes from then on
);
CREATE INDEX webhook_events_old ON webhook_events (created_at_ms);

CREATE TABLE webhook_deliveries (
    delivery_id    text PRIMARY KEY,
    event_id       text NOT NULL REFERENCES webhook_events ON DELETE CASCADE,
    endpoint_id    text NOT NULL,
    state          text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'failed')),
    attempts       int NOT NULL DEFAULT 0,
    due_at_ms      bigint NOT NULL,
    status         int,                   -- of the last answer; null: there was none
    error          text,
    delivered_at_ms bigint,
    UNIQUE (event_id, endpoint_id)
);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (endpoint_id, due_at_ms) WHERE state = 'pending';
CREATE INDEX webhook_deliveries_of ON webhook_deliveries (endpoint_id, delivery_id DESC);

-- Writes an event and a delivery for each endpoint that wants it; nothing if none does.
-- Caller: the functions below only (triggers all).
CREATE FUNCTION tell_webhooks(p_type text, p_show text, p_object text, p_data jsonb) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    event text;
    now_ms bigint := clock_ms();
BEGIN
    IF NOT EXISTS (SELECT FROM webhook_endpoints e WHERE e.state = 'enabled' AND p_type = ANY (e.types)) THEN
        RETURN;
    END IF;
    event := 'evt_' || lpad(to_hex(now_ms), 12, '0') || replace(gen_random_uuid()::text, '-', '');
    INSERT INTO webhook_events (event_id, type, show_id, object_id, data, test, created_at_ms)
        VALUES (event, p_type, p_show, p_object, p_data,
            coalesce((SELECT s.rehearsal_of IS NOT NULL FROM shows s WHERE s.show_id = p_show), false), now_ms);
    INSERT INTO webhook_deliveries (delivery_id, event_id, endpoint_id, due_at_ms)
        SELECT 'dlv_' || lpad(to_hex(now_ms), 12, '0') || replace(gen_random_uuid()::text, '-', ''), event,
            e.endpoint_id, now_ms
        FROM webhook_endpoints e WHERE e.state = 'enabled' AND p_type = ANY (e.types);
END $$;

-- Takes due deliveries of one endpoint for p_lease_ms, the oldest first; whoever dies with them leaves them to the next.
-- Caller: Webhooks (its couriers).
CREATE FUNCTION claim_deliveries(p_endpoint text, p_most int, p_lease_ms bigint)
RETURNS SETOF webhook_deliveries LANGUAGE sql AS $$
    UPDATE webhook_deliveries SET attempts = attempts + 1, due_at_ms = clock_ms() + p_lease_ms
    WHERE delivery_id IN (
        SELECT w.delivery_id FROM webhook_deliveries w JOIN webhook_endpoints e USING (endpoint_id)
        WHERE w.endpoint_id = p_endpoint AND e.state = 'enabled' AND w.state = 'pending' AND w.due_at_ms <= clock_ms()
        ORDER BY w.due_at_ms LIMIT p_most FOR UPDATE OF w SKIP LOCKED)
    RETURNING *;
$$;

-- How one try ended. p_status: the answer's, or null; p_delivered: it was taken; p_gone: the receiver wants no more.
-- A refused one is tried again after p_pause_ms, p_most times in all; an endpoint that has refused everything for
-- p_patience_ms is given up. Out: true if the endpoint was given up with this. Caller: Webhooks (its couriers).
CREATE FUNCTION settle_delivery(
    p_delivery text, p_status int, p_error text, p_delivered boolean, p_gone boolean, p_pause_ms bigint, p_most int,
    p_patience_ms bigint, OUT given_up boolean
) LANGUAGE plpgsql AS $$
DECLARE
    endpoint text;
    now_ms bigint := clock_ms();
BEGIN
    given_up := false;
    UPDATE webhook_deliveries d SET status = p_status, error = p_error,
            state = CASE WHEN p_delivered THEN 'delivered' WHEN d.attempts >= p_most THEN 'failed' ELSE 'pending' END,
            due_at_ms = now_ms + p_pause_ms,
            delivered_at_ms = CASE WHEN p_delivered THEN now_ms END
        WHERE d.delivery_id = p_delivery AND d.state = 'pending' RETURNING d.endpoint_id INTO endpoint;
    IF endpoint IS NULL THEN
        RETURN;
    END IF;
    IF p_delivered THEN
        UPDATE webhook_endpoints e SET failing_since_ms = NULL
            WHERE e.endpoint_id = endpoint AND e.failing_since_ms IS NOT NULL;
        RETURN;
    END IF;
    UPDATE webhook_endpoints e SET failing_since_ms = now_ms
        WHERE e.endpoint_id = endpoint AND e.failing_since_ms IS NULL;
    UPDATE webhook_endpoints e SET state = 'failed'
        WHERE e.endpoint_id = endpoint AND e.state = 'enabled'
            AND (p_gone OR now_ms - e.failing_since_ms >= p_patience_ms);
    given_up := FOUND;
END $$;

CREATE FUNCTION order_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_webhooks(CASE WHEN TG_OP = 'INSERT' THEN 'order.paid' ELSE 'order.cancelled' END,
        NEW.show_id, NEW.order_id, jsonb_build_object('show_id', NEW.show_id, 'order_id', NEW.order_id));
    RETURN NULL;
END $$;
CREATE TRIGGER orders_told_paid AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION order_told();
CREATE TRIGGER orders_told_cancelled AFTER UPDATE ON orders
    FOR EACH ROW WHEN (OLD.state <> NEW.state AND NEW.state IN ('capture_failed', 'cancelled'))
    EXECUTE FUNCTION order_told();

CREATE FUNCTION refund_told() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    show text := (SELECT o.show_id FROM orders o WHERE o.order_id = NEW.order_id);
BEGIN
    PERFORM tell_webhooks('order.refunded', show, NEW.order_id,
        jsonb_build_object('show_id', show, 'order_id', NEW.order_id, 'refund_id', NEW.refund_id));
    RETURN NULL;
END $$;
CREATE TRIGGER refunds_told AFTER INSERT ON refunds FOR EACH ROW EXECUTE FUNCTION refund_told();

-- -- the low-stock alert ----------------------------------------------------------------------------------------------

-- Once for each time that stock runs low: units that come onto the shelf, or another threshold, arm it again.
-- Held units are not available: who holds the last ones may still let them go, and the operator wants to know early.
CREATE FUNCTION stock_runs_low() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.low_since_ms := clock_ms();
    PERFORM tell_webhooks('stock.low', NEW.show_id, NEW.variant_id, jsonb_build_object('show_id', NEW.show_id,
        'variant_id', NEW.variant_id, 'available', NEW.stocked - NEW.taken, 'low_at', NEW.low_at));
    RETURN NEW;
END $$;
CREATE TRIGGER stock_low BEFORE UPDATE ON stock
    FOR EACH ROW WHEN (NEW.low_since_ms IS NULL AND NEW.stocked - NEW.taken <= NEW.low_at AND NEW.low_at > 0
        AND NEW.stocked - NEW.taken < OLD.stocked - OLD.taken)
    EXECUTE FUNCTION stock_runs_low();

CREATE FUNCTION stock_low_is_over() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.low_since_ms := NULL;
    RETURN NEW;
END $$;
CREATE TRIGGER stock_low_over BEFORE UPDATE ON stock
    FOR EACH ROW WHEN (OLD.low_since_ms IS NOT NULL AND (NEW.stocked > OLD.stocked OR NEW.low_at <> OLD.low_at)
        AND NEW.stocked - NEW.taken > NEW.low_at)
    EXECUTE FUNCTION stock_low_is_over();

-- The last unit is sold: nothing is left, on the shelf or held.
CREATE FUNCTION stock_sold_out() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_webhooks('stock.sold_out', NEW.show_id, NEW.variant_id, jsonb_build_object('show_id', NEW.show_id,
        'variant_id', NEW.variant_id, 'sold', NEW.sold));
    RETURN NULL;
END $$;
CREATE TRIGGER stock_told_sold_out AFTER UPDATE ON stock
    FOR EACH ROW WHEN (NEW.sold > OLD.sold AND NEW.stocked = NEW.sold) EXECUTE FUNCTION stock_sold_out();

-- -- shows ------------------------------------------------------------------------------------------------------------

ALTER TABLE shows
    ADD COLUMN live_at_ms bigint,                       -- when it first went live: second 0 of its video
    ADD COLUMN rehearsal_of text REFERENCES shows;      -- not null: a rehearsal of that show
CREATE INDEX rehearsals ON shows (rehearsal_of) WHERE rehearsal_of IS NOT NULL;

CREATE FUNCTION show_goes_live() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.live_at_ms := clock_ms();
    RETURN NEW;
END $$;
CREATE TRIGGER shows_go_live BEFORE UPDATE ON shows
    FOR EACH ROW WHEN (OLD.state <> NEW.state AND NEW.state = 'live' AND NEW.live_at_ms IS NULL)
    EXECUTE FUNCTION show_goes_live();

CREATE FUNCTION show_told() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM tell_webhooks('show.' || NEW.state, NEW.show_id, NEW.show_id,
        jsonb_build_object('show_id', NEW.show_id, 'title', NEW.title, 'state', NEW.state));
    RETURN NULL;
END $$;
CREATE TRIGGER shows_told AFTER UPDATE ON shows
    FOR EACH ROW WHEN (OLD.state <> NEW.state AND NEW.state IN ('live', 'ended')) EXECUTE FUNCTION show_told();

-- -- receipts ---------------------------------------------------------------------------------------------------------

CREATE TABLE order_counters (
    show_id  text PRIMARY KEY,
    orders   bigint NOT NULL
);

-- What an order's receipt says beside the order: its number in the show, and the salt under which the public ledger
-- names it.
CREATE TABLE order_marks (
    order_id  text PRIMARY KEY REFERENCES orders,
    number    bigint NOT NULL,
    salt      text NOT NULL DEFAULT replace(gen_random_uuid()::text, '-', '')
);

INSERT INTO order_marks (order_id, number)
    SELECT order_id, row_number() OVER (PARTITION BY show_id ORDER BY created_at_ms, order_id) FROM orders;
INSERT INTO order_counters SELECT show_id, count(*) FROM orders GROUP BY show_id;

CREATE FUNCTION order_marked() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    n bigint;
BEGIN
    INSERT INTO order_counters AS c VALUES (NEW.show_id, 1)
        ON CONFLICT (show_id) DO UPDATE SET orders = c.orders + 1 RETURNING orders INTO n;
    INSERT INTO order_marks (order_id, number) VALUES (NEW.order_id, n);
    RETURN NULL;
END $$;
CREATE TRIGGER orders_marked AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION order_marked();

-- What of a line was given back.
CREATE INDEX ledger_refunds_of_order ON ledger (order_id) WHERE kind = 'refund';
