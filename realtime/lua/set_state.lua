-- Write the latest values of some state keys and tell every process.
-- Guarantees: processes hear the writes in the order in which they were made; each has the next state version.
-- KEYS[1] hub hash (epoch, offset, state version)  KEYS[2] log stream  KEYS[3] retained hash  KEYS[4] state hash
-- ARGV[1] epoch to use if the show has none  ARGV[2] bus channel  ARGV[3] msgpack map of key to JSON text
-- Returns: the state version
-- Caller: realtime.broker_redis.RedisBroker.set_state
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 1 then
  redis.call('DEL', KEYS[2], KEYS[3])
end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
for key, value in pairs(cmsgpack.unpack(ARGV[3])) do
  redis.call('HSET', KEYS[4], key, value)
end
redis.call('PUBLISH', ARGV[2], 'S ' .. epoch .. ' ' .. version .. '\n' .. ARGV[3])
return version
