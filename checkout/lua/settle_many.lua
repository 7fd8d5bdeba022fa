-- Tells the gate what the truth decided about a batch of taps.
--
-- Guarantees: safe to repeat. A held one is pending no more, and is added if the gate never saw it (a tap that went
-- straight to Postgres); a refused one gives its units back and its refusal is remembered for a retry.
--
-- KEYS  1 meta  2 holds  3 buyers  4 pending  5 said now  6 was now  7 was before
-- ARGV  1 epoch that the truth read under its lock  2 variant  3 msgpack [hold, buyer, units, code, ...]
--       4 lifetime of "said" in ms  5 lifetime of "was" in ms  6 channel of the news (see sold_out.lua)
-- Returns 1, or 0 if the epochs differ: then a rebuild has read, or will read, what the truth decided.
-- Called by gate.Gate.settle_many.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
local variant, taps = ARGV[2], cmsgpack.unpack(ARGV[3])
local ids, done, shift = {}, {}, 0
for i = 1, #taps, 4 do ids[#ids + 1] = taps[i] end
if #ids == 0 then return 1 end
-- unpack() overflows Lua's stack past some thousand values; the wrapper sends at most 500 taps.
local known, since = redis.call('HMGET', KEYS[2], unpack(ids)), redis.call('HMGET', KEYS[4], unpack(ids))
redis.call('HDEL', KEYS[4], unpack(ids))
for j = 1, #ids do
  local i = j * 4 - 3
  local id, buyer, n, code = taps[i], taps[i + 1], taps[i + 2], taps[i + 3]
  local held, pending = known[j], since[j]
  local again = done[id]  -- twice in one batch is one tap: what was read above is told but once
  done[id] = true
  if again then
  elseif code == 1 then
    -- A release may overtake this message: what has ended already is not added again.
    local ended = not held and (redis.call('HEXISTS', KEYS[6], id) == 1 or redis.call('HEXISTS', KEYS[7], id) == 1)
    if not held and not ended then
      redis.call('HSET', KEYS[2], id, n .. ':' .. buyer)
      redis.call('HINCRBY', KEYS[3], buyer, n)
      shift = shift - n
    end
  elseif held and pending then
    redis.call('HDEL', KEYS[2], id)
    redis.call('HINCRBY', KEYS[3], buyer, -n)
    shift = shift + n
    if code == 3 then
      redis.call('HSET', KEYS[6], id, 'r:' .. n)
      redis.call('PEXPIRE', KEYS[6], ARGV[5])
    elseif code == -5 then
      redis.call('HSET', KEYS[6], id, 'f')
      redis.call('PEXPIRE', KEYS[6], ARGV[5])
    else
      redis.call('HSET', KEYS[5], id, code .. '|' .. variant .. ':' .. n)
      redis.call('PEXPIRE', KEYS[5], ARGV[4])
    end
  end
end
if shift ~= 0 then
  local left = redis.call('HINCRBY', KEYS[1], 'available', shift) - shift
  if left <= 0 or redis.call('HGET', KEYS[1], 'waiting') == '1' then
    redis.call('HINCRBY', KEYS[1], 'turn', 1)
    redis.call('PUBLISH', ARGV[6], KEYS[1])
  end
end
return 1
