-- Renew one process's count of viewers; publish the sum as the state key `viewers` if it changed.
-- Guarantees: a process that stops renewing is left out of the sum once its time has passed (Redis's clock).
-- KEYS[1] hub hash (epoch, offset, state version)  KEYS[2] log stream  KEYS[3] retained hash  KEYS[4] state hash
-- KEYS[5] presence hash
-- ARGV[1] epoch to use if the show has none  ARGV[2] bus channel  ARGV[3] process  ARGV[4] its count
-- ARGV[5] how long the count holds, in ms
-- Returns: the sum
-- Caller: realtime.broker_redis.RedisBroker.set_presence
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[4] == '0' then
  redis.call('HDEL', KEYS[5], ARGV[3])
else
  redis.call('HSET', KEYS[5], ARGV[3], ARGV[4] .. ' ' .. string.format('%.0f', now + tonumber(ARGV[5])))
end
local sum = 0
local held = redis.call('HGETALL', KEYS[5])
for i = 1, #held, 2 do
  local count, until_ms = string.match(held[i + 1], '^(%d+) (%d+)$')
  if tonumber(until_ms) <= now then
    redis.call('HDEL', KEYS[5], held[i])
  else
    sum = sum + tonumber(count)
  end
end
local text = string.format('%.0f', sum)
if redis.call('HGET', KEYS[4], 'viewers') ~= text then
  if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 1 then
    redis.call('DEL', KEYS[2], KEYS[3])
  end
  local epoch = redis.call('HGET', KEYS[1], 'epoch')
  local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
  redis.call('HSET', KEYS[4], 'viewers', text)
  redis.call('PUBLISH', ARGV[2], 'S ' .. epoch .. ' ' .. version .. '\n' .. cmsgpack.pack({viewers = text}))
end
return sum
