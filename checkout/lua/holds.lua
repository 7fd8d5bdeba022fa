-- Which holds the gate counts, each by itself, in one step: for the reconciliation, where sums agree.
--
-- Guarantees: changes nothing.
--
-- KEYS  1 meta  2 holds  3 pending
-- ARGV  1 at most so many holds
-- Returns {epoch or "", {hold, units:buyer, ...}, {pending hold, ...}}, or {} if there are more. Called by gate.Gate.holds.
if redis.call('HLEN', KEYS[2]) > tonumber(ARGV[1]) then return {} end
return {redis.call('HGET', KEYS[1], 'epoch') or '', redis.call('HGETALL', KEYS[2]), redis.call('HKEYS', KEYS[3])}
