-- Write the latest values of some state keys and tell every process.
-- Guarantees: processes hear the writes in the order in which they were made; each has the next state version;
-- a value with a version never replaces one of the same key with a higher version.
-- KEYS[1] hub hash (epoch, offset, state version)  KEYS[2] log stream  KEYS[3] retained hash  KEYS[4] state hash
-- ARGV[1] epoch to use if the show has none  ARGV[2] bus channel  ARGV[3] msgpack map of key to JSON text
-- ARGV[4] msgpack map of key to the version of what it says, for some keys
-- Returns: the state version
-- Caller: realtime.broker_redis.RedisBroker.set_state
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 1 then
  redis.call('DEL', KEYS[2], KEYS[3])
end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
local values, packed = cmsgpack.unpack(ARGV[3]), ARGV[3]
for key, said in pairs(cmsgpack.unpack(ARGV[4])) do
  if tonumber(redis.call('HGET', KEYS[1], 'of:' .. key) or 0) > said then
    values[key] = nil
    packed = nil
  else
    redis.call('HSET', KEYS[1], 'of:' .. key, said)
  end
end
if next(values) == nil then
  return tonumber(redis.call('HGET', KEYS[1], 'version') or 0)
end
local version = redis.call('HINCRBY', KEYS[1], 'version', 1)
for key, value in pairs(values) do
  redis.call('HSET', KEYS[4], key, value)
end
redis.call('PUBLISH', ARGV[2], 'S ' .. epoch .. ' ' .. version .. '\n' .. (packed or cmsgpack.pack(values)))
return version
