-- Replaces one product's gate by what the truth says, under a new epoch.
--
-- Guarantees: one step for every reader. What the old gate admitted and the truth has not decided yet stays admitted
-- and pending; nothing is forgotten that somebody may still be committing. Safe to repeat: the second time it finds
-- its own epoch, and leaves what it built.
--
-- KEYS  1 meta  2 holds  3 buyers  4 pending  5 new holds  6 new buyers (both filled by the caller, or absent)
-- ARGV  1 new epoch  2 available  3 open  4 waiting (each "1" or "0")  5 limit  6 channel of the news (see sold_out.lua)
-- Returns what is available. Called by gate.Gate.rebuild, while the caller has the stock row's lock.
if redis.call('HGET', KEYS[1], 'epoch') == ARGV[1] then return tonumber(redis.call('HGET', KEYS[1], 'available')) end
local available = tonumber(ARGV[2])
local pending = redis.call('HKEYS', KEYS[4])
for _, id in ipairs(pending) do
  local held = redis.call('HGET', KEYS[2], id)
  if not held or redis.call('HEXISTS', KEYS[5], id) == 1 then
    redis.call('HDEL', KEYS[4], id)
  else
    local n, buyer = string.match(held, '^(%d+):(.*)$')
    redis.call('HSET', KEYS[5], id, held)
    redis.call('HINCRBY', KEYS[6], buyer, n)
    available = available - n
  end
end
redis.call('DEL', KEYS[2], KEYS[3])
if redis.call('EXISTS', KEYS[5]) == 1 then
  redis.call('PERSIST', KEYS[5])
  redis.call('RENAME', KEYS[5], KEYS[2])
end
if redis.call('EXISTS', KEYS[6]) == 1 then
  redis.call('PERSIST', KEYS[6])
  redis.call('RENAME', KEYS[6], KEYS[3])
end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'available', available, 'open', ARGV[3], 'waiting', ARGV[4], 'limit', ARGV[5], 'turn', 0,
  'run', string.match(redis.call('INFO', 'server'), 'run_id:(%w+)'))
redis.call('PUBLISH', ARGV[6], KEYS[1])
return available
