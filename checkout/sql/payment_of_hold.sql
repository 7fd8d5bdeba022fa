-- The payment that a hold is being made an order with, or the last one tried. In: $1 hold.
-- Out: hold_id, hold_state, and payment_id, state, refusal (null before the first try). Caller: Till.step.
SELECT h.hold_id, h.state AS hold_state, p.payment_id, p.state, p.refusal
FROM holds h LEFT JOIN payments p ON p.payment_id = h.payment_id WHERE h.hold_id = $1
