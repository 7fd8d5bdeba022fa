-- Leaves admitted units alone for as long as their taps wait for a truth that does not answer.
--
-- Guarantees: only what is pending is touched; until the given moment nobody takes it for an orphan (gate.Gate.look).
--
-- KEYS  1 pending
-- ARGV  1 msgpack [hold, until ms, ...]
-- Returns how many were pending. Called by gate.Gate.confirm_many.
local taps, found = cmsgpack.unpack(ARGV[1]), 0
for i = 1, #taps, 2 do
  if redis.call('HEXISTS', KEYS[1], taps[i]) == 1 then
    redis.call('HSET', KEYS[1], taps[i], string.format('%.0f', taps[i + 1]))
    found = found + 1
  end
end
return found
