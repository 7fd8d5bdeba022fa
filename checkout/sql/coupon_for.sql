-- What a coupon would take off for a buyer, or why not. In: $1 show, $2 code, $3 buyer, $4 goods in minor units.
-- Out: one row: coupons.* (null where there is none), refusal (null: it does). Caller: Baskets.bill.
SELECT c.*, coupon_refusal(c, $3, $4) AS refusal
FROM (SELECT 1) one LEFT JOIN coupons c ON c.show_id = $1 AND c.code = $2
