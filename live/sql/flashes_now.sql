-- The flash prices that run, of all shows. Out: show_id, variant_id, price_amount (the ordinary one), currency, and
-- flash_*, as items_of.sql has them. Caller: live/offers.py
SELECT f.show_id, f.variant_id, i.price_amount, i.currency,
    f.amount AS flash_amount, f.quantity AS flash_quantity, f.quantity - f.used AS flash_remaining,
    f.until_ms AS flash_until_ms, f.limit_per_buyer AS flash_limit
FROM flash_prices f JOIN show_items i USING (show_id, variant_id)
WHERE f.until_ms > clock_ms()
