-- Add reactions to a show's totals, and say whether it is time to tell them.
-- Guarantees: over all processes that ask, one is told to tell, at most once in ARGV[1] ms; what it is given holds
-- everything that was added before. Who is told to wait asks again, so that the last totals are told as well.
-- KEYS[1] the show's totals: a field for each kind, `sum` of all, `told` (the sum last told), `at` (when, Redis's ms)
-- ARGV[1] least time between two tellings, in ms  ARGV[2] msgpack map of kind to how many; may be empty
-- Returns: {0, sum, kind, total, kind, total ...}: tell these; {ms}: wait so long; {-1}: everything is told
-- Caller: realtime.reactions.Reactions._flush
local added = 0
for kind, count in pairs(cmsgpack.unpack(ARGV[2])) do
  redis.call('HINCRBY', KEYS[1], 'n:' .. kind, count)
  added = added + count
end
local sum = redis.call('HINCRBY', KEYS[1], 'sum', added)
local known = redis.call('HMGET', KEYS[1], 'told', 'at')
if sum == tonumber(known[1] or '0') then
  return {-1}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local passed = now - tonumber(known[2] or '0')
-- A clock that was set back must not silence the show until it has caught up.
if passed >= 0 and passed < tonumber(ARGV[1]) then
  return {tonumber(ARGV[1]) - passed}
end
redis.call('HSET', KEYS[1], 'told', sum, 'at', string.format('%.0f', now))
local answer = {0, sum}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local kind = string.match(all[i], '^n:(.+)$')
  if kind then
    answer[#answer + 1] = kind
    answer[#answer + 1] = tonumber(all[i + 1])
  end
end
return answer
