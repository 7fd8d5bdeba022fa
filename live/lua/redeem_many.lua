-- Spends tickets, each at most once.
--
-- Guarantees: atomic; a ticket's holder is told to one caller only, once, whoever asks at the same time.
-- KEYS: 1 the first ticket's key, of any number; all of one show, so that they stand on one node of a cluster.
-- ARGV: none.
-- Returns: for each key its holder, or false where there is no such ticket (any more).
-- Caller: live/tickets.py, Tickets.redeem

local holders = {KEYS[1] and redis.call('GETDEL', KEYS[1])}
for number = 2, #KEYS do
  holders[number] = redis.call('GETDEL', KEYS[number])
end
return holders
