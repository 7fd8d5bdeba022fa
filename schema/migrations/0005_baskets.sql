-- migrate:up

-- Baskets: several holds of one buyer, paid by one payment into one order with lines; what shipping, tax and coupons
-- make of their price; refunds line by line.
--
-- A hold stays what it is. A payment has lines, one for each of its holds, frozen before the provider is asked; those
-- of a payment that became an order are the order's. Every amount of a payment stands in exactly one of its lines:
-- discount and shipping are apportioned, so that each product's ledger stays a sum of its own, to the cent.
--
-- The lock order of 0002_checkout.sql, with what is new:
--     stock (by variant) -> holds (by id) -> payments -> coupons -> orders -> refunds, restocks, ledger, outbox

-- What the units cost together, where that is not unit_amount * quantity: a bundle's component.
ALTER TABLE holds ADD COLUMN goods bigint CHECK (goods >= 0);
-- The components of one bundle name its first hold: they are paid for, released and refused as one.
ALTER TABLE holds ADD COLUMN bundle_hold_id text;
ALTER TABLE holds ADD COLUMN bundle_id text;
CREATE INDEX holds_of_bundle ON holds (bundle_hold_id) WHERE bundle_hold_id IS NOT NULL;

CREATE FUNCTION goods_of(hold holds) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    'SELECT coalesce(hold.goods, hold.unit_amount * hold.quantity)';

-- payments.hold_id and orders.hold_id, variant_id, quantity and unit_amount are those of the first line.
ALTER TABLE payments ADD COLUMN coupon text;
ALTER TABLE payments ADD COLUMN country text;
ALTER TABLE payments ADD COLUMN shipping_method text;

CREATE TABLE payment_lines (
    payment_id   text NOT NULL REFERENCES payments,
    hold_id      text NOT NULL REFERENCES holds,
    position     int NOT NULL,
    show_id      text NOT NULL,
    variant_id   text NOT NULL,
    quantity     int NOT NULL CHECK (quantity >= 1),
    unit_amount  bigint NOT NULL,
    goods        bigint NOT NULL,
    discount     bigint NOT NULL DEFAULT 0,
    shipping     bigint NOT NULL DEFAULT 0 CHECK (shipping >= 0),
    tax          bigint NOT NULL DEFAULT 0,     -- contained in total
    total        bigint NOT NULL,               -- what of the payment is this line's
    refunded     bigint NOT NULL DEFAULT 0,
    bundle_id    text,
    PRIMARY KEY (payment_id, hold_id),
    CONSTRAINT a_line_adds_up CHECK (total = goods - discount + shipping),
    CONSTRAINT no_more_off_than_it_costs CHECK (discount >= 0 AND discount <= goods),
    CONSTRAINT tax_is_contained CHECK (tax >= 0 AND tax <= total),
    CONSTRAINT line_never_refunded_twice CHECK (refunded >= 0 AND refunded <= total)
);
CREATE INDEX payment_lines_of_hold ON payment_lines (hold_id);
CREATE INDEX payment_lines_of_product ON payment_lines (show_id, variant_id);

ALTER TABLE orders DROP CONSTRAINT orders_check;  -- total = unit_amount * quantity

INSERT INTO payment_lines (payment_id, hold_id, position, show_id, variant_id, quantity, unit_amount, goods, total, refunded)
    SELECT p.payment_id, h.hold_id, 0, h.show_id, h.variant_id, h.quantity, h.unit_amount, p.amount, p.amount,
        coalesce(o.refunded, 0)
    FROM payments p JOIN holds h USING (hold_id) LEFT JOIN orders o ON o.payment_id = p.payment_id;

-- What of a refund is which line's.
CREATE TABLE refund_lines (
    refund_id       text NOT NULL REFERENCES refunds,
    hold_id         text NOT NULL REFERENCES holds,
    amount          bigint NOT NULL CHECK (amount >= 0),
    units_returned  int NOT NULL,
    PRIMARY KEY (refund_id, hold_id)
);
INSERT INTO refund_lines
    SELECT r.refund_id, o.hold_id, r.amount, r.units_returned FROM refunds r JOIN orders o USING (order_id);
ALTER TABLE refunds ADD COLUMN asked_holds text[];      -- null: the order as a whole
ALTER TABLE refunds ADD COLUMN asked_amounts bigint[];  -- null in it: all that was left of that line

DROP INDEX ledger_once_per_order;
CREATE UNIQUE INDEX ledger_once_per_line ON ledger (order_id, kind, hold_id) WHERE kind IN ('sold', 'returned', 'capture');
DROP INDEX ledger_once_per_refund;
CREATE UNIQUE INDEX ledger_once_per_refund_line ON ledger (refund_id, hold_id) WHERE kind = 'refund';

-- What a show adds to the price of its goods. Prices contain the tax of the country the goods go to.
CREATE TABLE show_charges (
    show_id            text PRIMARY KEY REFERENCES shows,
    home_country       text CHECK (home_country ~ '^[A-Z]{2}$'),  -- whose tax an order without a country contains
    shipping_required  boolean NOT NULL DEFAULT false
);
CREATE TABLE tax_rates (
    show_id  text NOT NULL REFERENCES show_charges,
    country  text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    rate_bp  int NOT NULL CHECK (rate_bp >= 0 AND rate_bp <= 10000),
    PRIMARY KEY (show_id, country)
);
CREATE TABLE shipping_rates (
    show_id    text NOT NULL REFERENCES show_charges,
    country    text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
    method     text NOT NULL,
    position   int NOT NULL,
    amount     bigint NOT NULL CHECK (amount >= 0),
    free_from  bigint CHECK (free_from >= 0),  -- from goods less discount of so much
    PRIMARY KEY (show_id, country, method)
);

CREATE TABLE coupons (
    show_id         text NOT NULL REFERENCES shows,
    code            text NOT NULL,
    percent_bp      int CHECK (percent_bp > 0 AND percent_bp <= 10000),
    amount          bigint CHECK (amount > 0),
    minimum         bigint NOT NULL DEFAULT 0,    -- of goods
    from_ms         bigint NOT NULL DEFAULT 0,
    until_ms        bigint,
    uses            int,                          -- null: any number
    uses_per_buyer  int,
    used            int NOT NULL DEFAULT 0,       -- being paid with, or paid with
    pinned          boolean NOT NULL DEFAULT false,
    created_at_ms   bigint NOT NULL,
    PRIMARY KEY (show_id, code),
    CONSTRAINT percent_or_amount CHECK ((percent_bp IS NULL) <> (amount IS NULL)),
    CONSTRAINT never_used_too_often CHECK (used >= 0 AND (uses IS NULL OR used <= uses))
);
CREATE UNIQUE INDEX one_pinned_coupon ON coupons (show_id) WHERE pinned;
CREATE TABLE coupon_uses (
    payment_id  text PRIMARY KEY,
    show_id     text NOT NULL,
    code        text NOT NULL,
    buyer_id    text NOT NULL,
    state       text NOT NULL DEFAULT 'reserved' CHECK (state IN ('reserved', 'used', 'returned')),
    FOREIGN KEY (show_id, code) REFERENCES coupons
);
CREATE INDEX coupon_uses_of_buyer ON coupon_uses (show_id, code, buyer_id) WHERE state <> 'returned';

-- Why a coupon takes nothing off for a buyer with goods of so much, now: null (it does), coupon_unknown, coupon_over (not
-- yet, or no more), coupon_minimum, coupon_used_up, coupon_used (by this buyer, as often as one may).
-- Caller: take_coupon; Baskets.quote (sql/coupon_for.sql).
CREATE FUNCTION coupon_refusal(coupon coupons, p_buyer text, p_goods bigint) RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        WHEN coupon.code IS NULL THEN 'coupon_unknown'
        WHEN clock_ms() < coupon.from_ms OR clock_ms() >= coupon.until_ms THEN 'coupon_over'
        WHEN p_goods < coupon.minimum THEN 'coupon_minimum'
        WHEN coupon.used >= coupon.uses THEN 'coupon_used_up'
        WHEN coupon.uses_per_buyer <= (SELECT count(*) FROM coupon_uses u WHERE u.show_id = coupon.show_id
            AND u.code = coupon.code AND u.buyer_id = p_buyer AND u.state <> 'returned') THEN 'coupon_used'
        END;
$$;

-- Reserves one use of a coupon for a payment, under the coupon's row lock. Code: ok, or coupon_refusal's.
-- Caller: begin_basket only.
CREATE FUNCTION take_coupon(p_show text, p_code text, p_buyer text, p_payment text, p_goods bigint) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    coupon coupons;
    refusal text;
BEGIN
    SELECT * INTO coupon FROM coupons c WHERE c.show_id = p_show AND c.code = p_code FOR UPDATE;
    refusal := coupon_refusal(coupon, p_buyer, p_goods);
    IF refusal IS NOT NULL THEN
        RETURN refusal;
    END IF;
    UPDATE coupons c SET used = used + 1 WHERE c.show_id = p_show AND c.code = p_code;
    INSERT INTO coupon_uses VALUES (p_payment, p_show, p_code, p_buyer);
    RETURN 'ok';
END $$;

-- Ends the use of a coupon by a payment that is settled: counted for good if it was sold, else given back, once.
-- Caller: settle_payment only.
CREATE FUNCTION settle_coupon(p_payment text, p_sold boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    given coupon_uses;
BEGIN
    UPDATE coupon_uses SET state = CASE WHEN p_sold THEN 'used' ELSE 'returned' END
        WHERE payment_id = p_payment AND state = 'reserved' RETURNING * INTO given;
    IF FOUND AND NOT p_sold THEN
        UPDATE coupons SET used = used - 1 WHERE show_id = given.show_id AND code = given.code;
    END IF;
END $$;

-- Replaces what a show adds to the price of its goods; a payment that is under way keeps what it was quoted.
-- In: arrays of one length for the tax rates, and for the shipping rates in the merchant's order.
-- Raises a foreign key violation where there is no such show. Caller: ChargesBook.put.
CREATE FUNCTION set_charges(
    p_show text, p_home text, p_required boolean, p_taxed text[], p_rates int[],
    p_countries text[], p_methods text[], p_amounts bigint[], p_free_from bigint[]
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO show_charges VALUES (p_show, p_home, p_required)
        ON CONFLICT (show_id) DO UPDATE SET home_country = p_home, shipping_required = p_required;
    DELETE FROM tax_rates WHERE show_id = p_show;
    DELETE FROM shipping_rates WHERE show_id = p_show;
    INSERT INTO tax_rates SELECT p_show, t.* FROM unnest(p_taxed, p_rates) t;
    INSERT INTO shipping_rates (show_id, country, method, position, amount, free_from)
        SELECT p_show, r.country, r.method, r.o, r.amount, r.free_from
        FROM unnest(p_countries, p_methods, p_amounts, p_free_from) WITH ORDINALITY AS r (country, method, amount, free_from, o);
END $$;

-- The lines of a payment as JSON, in their order. Caller: sql/order.sql, sql/orders.sql.
CREATE FUNCTION lines_of(p_payment text) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT json_agg(json_build_object('hold_id', l.hold_id, 'variant_id', l.variant_id, 'quantity', l.quantity,
        'unit_amount', l.unit_amount, 'goods', l.goods, 'discount', l.discount, 'shipping', l.shipping, 'tax', l.tax,
        'refunded', l.refunded, 'returned', h.returned, 'bundle_id', l.bundle_id) ORDER BY l.position)::text
    FROM payment_lines l JOIN holds h USING (hold_id) WHERE l.payment_id = p_payment;
$$;

-- HELD -> PAYING for every hold of a basket, or for none; and the payment that is about to be authorized, with its
-- lines, and its use of the coupon.
-- Guarantees: one payment at a time for a hold; from here none of them expires; a bundle is paid for as a whole.
-- In: the payment; its holds in the order of its lines, with what each line costs (arrays of one length; the goods are
-- the holds', or it raises); the coupon and where it goes to, or null.
-- Code: ok; paying, sold (all of them already, by one payment); busy (some); lapsed; part (of a bundle); none; or
-- take_coupon's; with the holds in that order, the first of them apart, and the payment where there is one.
-- Caller: Till.
CREATE FUNCTION begin_basket(
    p_buyer text, p_payment text, p_provider text, p_method text, p_pay_ms bigint, p_check_ms bigint,
    p_holds text[], p_goods bigint[], p_discounts bigint[], p_shippings bigint[], p_taxes bigint[],
    p_coupon text, p_country text, p_shipping_method text,
    OUT code text, OUT hold holds, OUT payment payments, OUT basket holds[]
) LANGUAGE plpgsql AS $$
DECLARE
    now_ms bigint;
BEGIN
    PERFORM FROM holds h WHERE h.hold_id = ANY(p_holds) AND h.buyer_id = p_buyer ORDER BY h.hold_id FOR UPDATE;
    SELECT array_agg(h ORDER BY array_position(p_holds, h.hold_id)) INTO basket
        FROM holds h WHERE h.hold_id = ANY(p_holds) AND h.buyer_id = p_buyer;
    now_ms := clock_ms();
    IF coalesce(cardinality(basket), 0) <> cardinality(p_holds) THEN
        code := 'none';
        RETURN;
    END IF;
    hold := basket[1];
    IF hold.state IN ('paying', 'sold') AND NOT EXISTS (SELECT FROM unnest(basket) h
            WHERE h.state <> hold.state OR h.payment_id IS DISTINCT FROM hold.payment_id) THEN
        code := hold.state;
        SELECT * INTO payment FROM payments p WHERE p.payment_id = hold.payment_id;
        RETURN;
    END IF;
    code := CASE
        WHEN EXISTS (SELECT FROM unnest(basket) h WHERE h.state IN ('paying', 'sold')) THEN 'busy'
        WHEN EXISTS (SELECT FROM unnest(basket) h WHERE h.state <> 'held' OR h.expires_at_ms <= now_ms) THEN 'lapsed'
        WHEN EXISTS (SELECT FROM unnest(basket) h JOIN holds g ON g.bundle_hold_id = h.bundle_hold_id
            WHERE NOT g.hold_id = ANY(p_holds)) THEN 'part'
        ELSE 'ok' END;
    IF code = 'ok' AND p_coupon IS NOT NULL THEN
        code := take_coupon(hold.show_id, p_coupon, p_buyer, p_payment, (SELECT sum(g) FROM unnest(p_goods) g)::bigint);
    END IF;
    IF code <> 'ok' THEN
        RETURN;
    END IF;
    INSERT INTO payments (payment_id, hold_id, provider, method, amount, currency, created_at_ms, check_at_ms,
            coupon, country, shipping_method)
        VALUES (p_payment, hold.hold_id, p_provider, p_method,
            (SELECT sum(g - d + s) FROM unnest(p_goods, p_discounts, p_shippings) AS l (g, d, s))::bigint, hold.currency,
            now_ms, now_ms + p_check_ms, p_coupon, p_country, p_shipping_method)
        RETURNING * INTO payment;
    INSERT INTO payment_lines (payment_id, hold_id, position, show_id, variant_id, quantity, unit_amount, goods,
            discount, shipping, tax, total, bundle_id)
        SELECT p_payment, h.hold_id, l.o - 1, h.show_id, h.variant_id, h.quantity, h.unit_amount, goods_of(h),
            l.discount, l.shipping, l.tax, l.goods - l.discount + l.shipping, h.bundle_id
        FROM unnest(p_holds, p_goods, p_discounts, p_shippings, p_taxes)
            WITH ORDINALITY AS l (hold_id, goods, discount, shipping, tax, o)
        JOIN holds h ON h.hold_id = l.hold_id;
    UPDATE holds h SET state = 'paying', payment_id = p_payment,
            expires_at_ms = greatest(h.expires_at_ms, now_ms + p_pay_ms)
        WHERE h.hold_id = ANY(p_holds);
    SELECT array_agg(h ORDER BY array_position(p_holds, h.hold_id)) INTO basket FROM holds h WHERE h.hold_id = ANY(p_holds);
    hold := basket[1];
END $$;

-- A basket of one, at the hold's price and with nothing added. Code and guarantees: begin_basket's.
-- Caller: Till (its tests, to stand where a desk died).
CREATE OR REPLACE FUNCTION begin_payment(
    p_hold text, p_buyer text, p_payment text, p_provider text, p_method text, p_pay_ms bigint, p_check_ms bigint,
    OUT code text, OUT hold holds, OUT payment payments
) LANGUAGE plpgsql AS $$
DECLARE
    goods bigint := (SELECT goods_of(h) FROM holds h WHERE h.hold_id = p_hold);
    begun record;
BEGIN
    SELECT * INTO begun FROM begin_basket(p_buyer, p_payment, p_provider, p_method, p_pay_ms, p_check_ms,
        ARRAY[p_hold], ARRAY[goods], ARRAY[0], ARRAY[0], ARRAY[0], NULL, NULL, NULL);
    code := begun.code;
    hold := begun.hold;
    payment := begun.payment;
END $$;

-- Locks the stock rows of a payment's lines, in the one order. Caller: the functions below only.
CREATE FUNCTION lock_stock_of(p_payment text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM stock s WHERE (s.show_id, s.variant_id) IN (
            SELECT l.show_id, l.variant_id FROM payment_lines l WHERE l.payment_id = p_payment)
        ORDER BY s.show_id, s.variant_id FOR UPDATE;
END $$;

-- The holds and the stock rows of a payment's lines as they are now, for whoever tells gate and viewers.
-- Out: the holds in the lines' order; each product's row once. Caller: the functions below only.
CREATE FUNCTION basket_of(p_payment text, OUT basket holds[], OUT items stock[]) LANGUAGE plpgsql AS $$
BEGIN
    SELECT array_agg(h ORDER BY l.position) INTO basket
        FROM payment_lines l JOIN holds h USING (hold_id) WHERE l.payment_id = p_payment;
    SELECT array_agg(s ORDER BY s.variant_id) INTO items FROM stock s WHERE (s.show_id, s.variant_id) IN (
        SELECT l.show_id, l.variant_id FROM payment_lines l WHERE l.payment_id = p_payment);
END $$;

-- Puts the units of a sold line back on the shelf, once (ledger_once_per_line). The caller has the stock row's lock.
-- Caller: the functions below only.
CREATE FUNCTION return_line(o orders, line payment_lines) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE holds SET returned = true WHERE hold_id = line.hold_id;
    UPDATE buyers SET units = units - line.quantity
        WHERE show_id = line.show_id AND variant_id = line.variant_id AND buyer_id = o.buyer_id;
    UPDATE stock SET stocked = stocked + line.quantity, returned = returned + line.quantity, version = version + 1
        WHERE show_id = line.show_id AND variant_id = line.variant_id;
    PERFORM ledger_append(line.show_id, line.variant_id, 'returned', line.quantity, 0, NULL, o.order_id, line.hold_id, NULL);
END $$;

-- Applies what the provider decided about a payment: 'authorized', or 'declined' (nothing is authorized, for sure).
-- authorized: PAYING -> SOLD for all its holds, the order, a ledger entry for each line, and the capture's outbox entry,
-- in one transaction. declined: each hold PAYING -> HELD while its promised time lasts, else RELEASED, and its units go
-- back; the coupon's use is given back.
-- Guarantees: a payment is settled once; an authorization whose holds are not all there any more is cancelled.
-- Code: sold, held, released (the first hold's end), settled (it was already; nothing moved), void, none; with all its
-- holds and stock rows, and those of the first line apart.
-- Caller: Till.pay and Till.check (the webhook's, and the poll's for undecided payments).
DROP FUNCTION settle_payment;
CREATE FUNCTION settle_payment(
    p_payment text, p_outcome text, p_order text,
    OUT code text, OUT hold holds, OUT item stock, OUT basket holds[], OUT items stock[]
) LANGUAGE plpgsql AS $$
DECLARE
    payment payments;
    line payment_lines;
    one holds;
    whole boolean;
BEGIN
    PERFORM lock_stock_of(p_payment);
    PERFORM FROM holds h WHERE h.hold_id IN (SELECT l.hold_id FROM payment_lines l WHERE l.payment_id = p_payment)
        ORDER BY h.hold_id FOR UPDATE;
    SELECT * INTO payment FROM payments p WHERE p.payment_id = p_payment FOR UPDATE;
    IF NOT FOUND THEN
        code := 'none';
        RETURN;
    END IF;
    IF payment.state <> 'authorizing' THEN
        code := 'settled';
    ELSE
        UPDATE payments p SET state = p_outcome WHERE p.payment_id = p_payment;
        whole := NOT EXISTS (SELECT FROM payment_lines l JOIN holds h USING (hold_id)
            WHERE l.payment_id = p_payment AND (h.state <> 'paying' OR h.payment_id <> p_payment));
        SELECT * INTO hold FROM holds h WHERE h.hold_id = payment.hold_id;
        IF p_outcome = 'authorized' AND whole THEN
            code := 'sold';
            INSERT INTO orders (order_id, hold_id, payment_id, show_id, variant_id, buyer_id, buyer_name, quantity,
                    unit_amount, total, currency, created_at_ms)
                VALUES (p_order, hold.hold_id, p_payment, hold.show_id, hold.variant_id, hold.buyer_id, hold.buyer_name,
                    hold.quantity, hold.unit_amount, payment.amount, hold.currency, clock_ms());
            FOR line IN SELECT * FROM payment_lines l WHERE l.payment_id = p_payment ORDER BY l.position LOOP
                UPDATE holds h SET state = 'sold', order_id = p_order WHERE h.hold_id = line.hold_id;
                UPDATE stock s SET sold = s.sold + line.quantity, version = s.version + 1
                    WHERE s.show_id = line.show_id AND s.variant_id = line.variant_id;
                PERFORM ledger_append(line.show_id, line.variant_id, 'sold', line.quantity, line.total, payment.currency,
                    p_order, line.hold_id, NULL);
            END LOOP;
            INSERT INTO outbox (kind, payment_id, order_id, amount, currency, due_at_ms)
                VALUES ('capture', p_payment, p_order, payment.amount, payment.currency, clock_ms());
        ELSE
            FOR one IN SELECT h.* FROM payment_lines l JOIN holds h USING (hold_id) WHERE l.payment_id = p_payment
                    AND h.state = 'paying' AND h.payment_id = p_payment ORDER BY l.position LOOP
                IF one.held_until_ms > clock_ms() THEN
                    UPDATE holds h SET state = 'held', expires_at_ms = h.held_until_ms WHERE h.hold_id = one.hold_id;
                ELSE
                    UPDATE holds h SET state = 'released' WHERE h.hold_id = one.hold_id;
                    PERFORM free_units(one);
                END IF;
            END LOOP;
            IF p_outcome = 'authorized' THEN
                INSERT INTO outbox (kind, payment_id, amount, currency, due_at_ms)
                    VALUES ('cancel', p_payment, payment.amount, payment.currency, clock_ms());
            END IF;
        END IF;
        PERFORM settle_coupon(p_payment, code IS NOT DISTINCT FROM 'sold');
    END IF;
    SELECT b.basket, b.items INTO basket, items FROM basket_of(p_payment) b;
    hold := basket[1];
    code := coalesce(code, CASE WHEN whole THEN hold.state ELSE 'void' END);
    SELECT * INTO item FROM stock s WHERE s.show_id = hold.show_id AND s.variant_id = hold.variant_id;
END $$;

-- PAID -> CAPTURED with the money's ledger entries, line by line, or -> CAPTURE_FAILED with the units' return.
-- Guarantees: once. Code: ok, or settled (it was already); with the holds and stock rows, those of the first line apart.
-- Caller: Outbox.drain.
DROP FUNCTION settle_capture;
CREATE FUNCTION settle_capture(
    p_order text, p_captured boolean,
    OUT code text, OUT hold_id text, OUT item stock, OUT basket holds[], OUT items stock[]
) LANGUAGE plpgsql AS $$
DECLARE
    o orders;
    line payment_lines;
BEGIN
    SELECT * INTO STRICT o FROM orders WHERE order_id = p_order;
    hold_id := o.hold_id;
    PERFORM lock_stock_of(o.payment_id);
    UPDATE orders SET state = CASE WHEN p_captured THEN 'captured' ELSE 'capture_failed' END
        WHERE order_id = p_order AND state = 'paid';
    code := CASE WHEN FOUND THEN 'ok' ELSE 'settled' END;
    IF code = 'ok' THEN
        UPDATE payments SET state = CASE WHEN p_captured THEN 'captured' ELSE 'capture_failed' END
            WHERE payment_id = o.payment_id;
        FOR line IN SELECT * FROM payment_lines l WHERE l.payment_id = o.payment_id ORDER BY l.position LOOP
            IF p_captured THEN
                PERFORM ledger_append(line.show_id, line.variant_id, 'capture', 0, line.total, o.currency,
                    o.order_id, line.hold_id, NULL);
            ELSE
                PERFORM return_line(o, line);
            END IF;
        END LOOP;
    END IF;
    SELECT b.basket, b.items INTO basket, items FROM basket_of(o.payment_id) b;
    SELECT * INTO item FROM stock s WHERE s.show_id = o.show_id AND s.variant_id = o.variant_id;
END $$;

-- Decides a refund: money, and units, exactly once.
-- As a whole (p_holds null): p_amount, null for all that is left, apportioned over the lines by what is left of each, in
-- turn and to the cent (checkout/core/pricing.py, apportion); units come back with the refund that empties the order.
-- Line by line: p_amounts[i] of the line of p_holds[i], null for all that is left of it; a line that is emptied by name
-- returns its units.
-- Code: ok, known (this refund id was decided before), pending (no capture yet), failed (never captured), too_much,
-- refunded (nothing is left), line (no such line), none; with the refund and the order, and, if it is ok or known, the
-- holds and stock rows, those of the first line apart.
-- Caller: Outbox.refund.
DROP FUNCTION refund_order;
CREATE FUNCTION refund_order(
    p_order text, p_amount bigint, p_refund text, p_holds text[] DEFAULT NULL, p_amounts bigint[] DEFAULT NULL,
    OUT code text, OUT o orders, OUT r refunds, OUT item stock, OUT basket holds[], OUT items stock[]
) LANGUAGE plpgsql AS $$
DECLARE
    given bigint;
    share bigint;
    rest bigint;         -- of what is given, for this line and those after it
    rest_left bigint;    -- of what is left of them
    empties boolean;
    units int := 0;
    back int;
    line payment_lines;
    comes_back boolean;
BEGIN
    SELECT * INTO o FROM orders x WHERE x.order_id = p_order;
    IF NOT FOUND THEN
        code := 'none';
        RETURN;
    END IF;
    PERFORM lock_stock_of(o.payment_id);
    SELECT * INTO o FROM orders x WHERE x.order_id = p_order FOR UPDATE;
    SELECT * INTO r FROM refunds x WHERE x.refund_id = p_refund;
    IF FOUND THEN
        code := 'known';
        SELECT b.basket, b.items INTO basket, items FROM basket_of(o.payment_id) b;
        RETURN;
    END IF;
    given := CASE WHEN p_holds IS NULL THEN coalesce(p_amount, o.total - o.refunded) ELSE (
        SELECT sum(coalesce(a.amount, l.total - l.refunded)) FROM unnest(p_holds, p_amounts) AS a (hold_id, amount)
        JOIN payment_lines l ON l.payment_id = o.payment_id AND l.hold_id = a.hold_id) END;
    code := CASE
        WHEN o.state = 'paid' THEN 'pending'
        WHEN o.state = 'capture_failed' THEN 'failed'
        WHEN o.state = 'refunded' THEN 'refunded'
        WHEN p_holds IS NULL AND given > o.total - o.refunded THEN 'too_much'
        WHEN EXISTS (SELECT FROM unnest(p_holds) a WHERE NOT EXISTS (SELECT FROM payment_lines l
            WHERE l.payment_id = o.payment_id AND l.hold_id = a)) THEN 'line'
        WHEN EXISTS (SELECT FROM holds h WHERE h.hold_id = ANY(p_holds) AND h.returned) THEN 'refunded'
        WHEN EXISTS (SELECT FROM unnest(p_holds, p_amounts) AS a (hold_id, amount) JOIN payment_lines l
            ON l.payment_id = o.payment_id AND l.hold_id = a.hold_id WHERE a.amount > l.total - l.refunded) THEN 'too_much'
        ELSE 'ok' END;
    IF code <> 'ok' THEN
        RETURN;
    END IF;
    empties := o.refunded + given = o.total;
    rest := given;
    rest_left := o.total - o.refunded;
    UPDATE orders x SET refunded = x.refunded + given,
            state = CASE WHEN empties THEN 'refunded' ELSE 'partially_refunded' END
        WHERE x.order_id = p_order RETURNING * INTO o;
    INSERT INTO refunds (refund_id, order_id, asked, amount, currency, units_returned, order_state, created_at_ms,
            asked_holds, asked_amounts)
        VALUES (p_refund, p_order, p_amount, given, o.currency, 0, o.state, clock_ms(), p_holds, p_amounts);
    FOR line IN SELECT * FROM payment_lines l WHERE l.payment_id = o.payment_id ORDER BY l.position LOOP
        IF p_holds IS NOT NULL THEN
            CONTINUE WHEN NOT empties AND NOT line.hold_id = ANY(p_holds);
            share := coalesce((SELECT coalesce(a.amount, line.total - line.refunded)
                FROM unnest(p_holds, p_amounts) AS a (hold_id, amount) WHERE a.hold_id = line.hold_id), 0);
            comes_back := line.refunded + share = line.total;
        ELSE
            share := CASE WHEN rest_left = 0 THEN 0 ELSE
                div(2 * rest::numeric * (line.total - line.refunded) + rest_left, 2 * rest_left::numeric) END;
            rest := rest - share;
            rest_left := rest_left - (line.total - line.refunded);
            comes_back := empties;
        END IF;
        comes_back := comes_back AND NOT (SELECT h.returned FROM holds h WHERE h.hold_id = line.hold_id);
        CONTINUE WHEN share = 0 AND NOT comes_back;
        back := CASE WHEN comes_back THEN line.quantity ELSE 0 END;
        units := units + back;
        UPDATE payment_lines l SET refunded = l.refunded + share
            WHERE l.payment_id = line.payment_id AND l.hold_id = line.hold_id;
        INSERT INTO refund_lines VALUES (p_refund, line.hold_id, share, back);
        IF share > 0 THEN
            PERFORM ledger_append(line.show_id, line.variant_id, 'refund', 0, share, o.currency, o.order_id, line.hold_id,
                p_refund);
        END IF;
        IF comes_back THEN
            PERFORM return_line(o, line);
        END IF;
    END LOOP;
    UPDATE refunds x SET units_returned = units WHERE x.refund_id = p_refund RETURNING * INTO r;
    INSERT INTO outbox (kind, payment_id, order_id, refund_id, amount, currency, due_at_ms)
        VALUES ('refund', o.payment_id, p_order, p_refund, given, o.currency, clock_ms());
    SELECT b.basket, b.items INTO basket, items FROM basket_of(o.payment_id) b;
    SELECT * INTO item FROM stock s WHERE s.show_id = o.show_id AND s.variant_id = o.variant_id;
END $$;
DROP FUNCTION return_units;
