-- Give one event the next offset of its show, log it and tell every process.
-- Guarantees: offset, log, retained events and announcement change together or not at all; offsets have no holes.
-- KEYS[1] hub hash (epoch, offset, state version)  KEYS[2] log stream  KEYS[3] retained hash  KEYS[4] state hash
-- ARGV[1] epoch to use if the show has none  ARGV[2] bus channel  ARGV[3] kind  ARGV[4] key, or the message's id
-- ARGV[5] the event as JSON  ARGV[6] most entries of the log  ARGV[7] most retained keys
-- ARGV[8] how many publications with such a number a second may bring, over all processes, as many of them at once
--         (GCRA, the generic cell rate algorithm); 0: no matter
-- Returns: {epoch, offset}; offset 0: the show retains too many keys, nothing was published; -1: too many a second,
-- nothing was published
-- Caller: realtime.broker_redis.RedisBroker.publish
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 1 then
  redis.call('DEL', KEYS[2], KEYS[3])
end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if ARGV[3] == 'k' and redis.call('HEXISTS', KEYS[3], ARGV[4]) == 0
    and redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[7]) then
  return {epoch, 0}
end
local most = tonumber(ARGV[8])
if most > 0 then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + time[2] / 1000
  local free = math.max(tonumber(redis.call('HGET', KEYS[1], 'free') or '0'), now)
  if free - now > 1000 - 1000 / most then
    return {epoch, -1}
  end
  redis.call('HSET', KEYS[1], 'free', string.format('%.3f', free + 1000 / most))
end
local offset = redis.call('HINCRBY', KEYS[1], 'offset', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], offset .. '-0', 'k', ARGV[3], 'n', ARGV[4], 'd', ARGV[5])
if ARGV[3] == 'k' then
  redis.call('HSET', KEYS[3], ARGV[4], offset .. '\n' .. ARGV[5])
elseif ARGV[3] == 'd' then
  redis.call('HDEL', KEYS[3], ARGV[4])
end
redis.call('PUBLISH', ARGV[2], 'P ' .. epoch .. ' ' .. offset .. ' ' .. ARGV[3] .. ' ' .. ARGV[4] .. '\n' .. ARGV[5])
return {epoch, offset}
