-- Takes the flash prices that are over, each once, over all processes. Out: show_id, variant_id. Caller: live/offers.py
UPDATE flash_prices SET end_told = true WHERE NOT end_told AND until_ms <= clock_ms() RETURNING show_id, variant_id
