-- Counts a hold against the share that the guests of one network may have of one item unpaid.
--
-- Guarantees: atomic; together they never have more than `most`, but for a first hold that is larger by itself; one
--             that is counted already is not counted twice. What has run out by its time is forgotten.
-- KEYS  1 the share: "<hold id> <units>", scored by when it runs out, ms
-- ARGV  1 now, ms  2 when this one runs out, ms  3 hold id  4 units  5 most
-- Returns what the share consists of, each with its score, where there is no room; else nothing.
-- Called by shares.Shares.taking.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
local mine = ARGV[3] .. ' ' .. ARGV[4]
if redis.call('ZSCORE', KEYS[1], mine) then return {} end
local counted = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local units = 0
for at = 1, #counted, 2 do units = units + tonumber(string.match(counted[at], '%d+$')) end
if units > 0 and units + ARGV[4] > tonumber(ARGV[5]) then return counted end
redis.call('ZADD', KEYS[1], ARGV[2], mine)
redis.call('PEXPIRE', KEYS[1], ARGV[2] - ARGV[1])
return {}
