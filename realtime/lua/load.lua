-- Read a show's channel as it is at this instant.
-- Guarantees: log, retained events and state belong together; a show without an epoch gets one.
-- KEYS[1] hub hash (epoch, offset, state version)  KEYS[2] log stream  KEYS[3] retained hash  KEYS[4] state hash
-- ARGV[1] epoch to use if the show has none  ARGV[2] the epoch the caller knows  ARGV[3] the last offset it has
-- Returns: {epoch, offset, floor, state version, log entries after the caller's offset, retained, state}; everything
-- after `floor` stands in the log, except chat that was taken down
-- Caller: realtime.broker_redis.RedisBroker.load
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 1 then
  redis.call('DEL', KEYS[2], KEYS[3])
end
local hub = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'version')
local offset = tonumber(hub[2] or '0')
local since = hub[1] == ARGV[2] and tonumber(ARGV[3]) or 0
local floor = offset
local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1]
if first then
  floor = tonumber(string.match(first[1], '^(%d+)')) - 1
end
return {
  hub[1], offset, floor, tonumber(hub[3] or '0'),
  redis.call('XRANGE', KEYS[2], string.format('%.0f-0', since + 1), '+'),
  redis.call('HGETALL', KEYS[3]),
  redis.call('HGETALL', KEYS[4]),
}
