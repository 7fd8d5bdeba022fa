-- migrate:up
-- A coupon's use goes back when nothing of its order is left: refunded in full, cancelled, or never captured.
--
-- Decided by the order's state, once, in the transaction that moves it: whichever way leads there, no way can forget it.
-- A refund in part keeps the use. Lock order: coupons after orders, as settle_payment has it; nobody waits for an order
-- while it has a coupon.

-- Caller: the trigger below.
CREATE FUNCTION coupon_comes_back() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    given coupon_uses;
BEGIN
    UPDATE coupon_uses SET state = 'returned' WHERE payment_id = NEW.payment_id AND state = 'used' RETURNING * INTO given;
    IF FOUND THEN
        UPDATE coupons SET used = used - 1 WHERE show_id = given.show_id AND code = given.code;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER coupon_comes_back AFTER UPDATE OF state ON orders FOR EACH ROW
    WHEN (NEW.state IN ('refunded', 'cancelled', 'capture_failed')) EXECUTE FUNCTION coupon_comes_back();

-- Of the orders that were over before.
WITH over AS (
    UPDATE coupon_uses u SET state = 'returned' FROM orders o
    WHERE o.payment_id = u.payment_id AND u.state = 'used' AND o.state IN ('refunded', 'cancelled', 'capture_failed')
    RETURNING u.show_id, u.code
)
UPDATE coupons c SET used = used - x.uses FROM (SELECT show_id, code, count(*)::int AS uses FROM over GROUP BY 1, 2) x
WHERE x.show_id = c.show_id AND x.code = c.code;
