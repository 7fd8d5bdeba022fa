-- Gives back the units of holds that the truth has ended, by hold id.
--
-- Guarantees: safe to repeat: a hold gives its units back once. An ended id is remembered, so that a message about
-- its beginning that comes later adds nothing, and a retry of the tap is known.
--
-- KEYS  1 meta  2 holds  3 buyers  4 pending  5 was now
-- ARGV  1 epoch that the truth read under its lock  2 msgpack [hold, units, fenced (0 or 1), ...]
--       3 lifetime of "was" in ms  4 channel of the news (see sold_out.lua)
-- Returns 1, or 0 if the epochs differ (see settle_many.lua). Called by gate.Gate.release_many.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
local ended = cmsgpack.unpack(ARGV[2])
local back = 0
for i = 1, #ended, 3 do
  local id, units, fenced = ended[i], ended[i + 1], ended[i + 2]
  local held = redis.call('HGET', KEYS[2], id)
  if held then
    local n, buyer = string.match(held, '^(%d+):(.*)$')
    redis.call('HDEL', KEYS[2], id)
    redis.call('HDEL', KEYS[4], id)
    redis.call('HINCRBY', KEYS[3], buyer, -n)
    back = back + n
  end
  redis.call('HSET', KEYS[5], id, fenced == 1 and 'f' or 'r:' .. units)
end
redis.call('PEXPIRE', KEYS[5], ARGV[3])
local left = redis.call('HINCRBY', KEYS[1], 'available', back) - back
if left <= 0 or redis.call('HGET', KEYS[1], 'waiting') == '1' then
  redis.call('HINCRBY', KEYS[1], 'turn', 1)
  redis.call('PUBLISH', ARGV[4], KEYS[1])
end
return 1
