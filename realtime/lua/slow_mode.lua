-- Take an account's turn to speak, if its last one is long enough ago.
-- Guarantees: of several tries at once, in whatever process, one is let through; a lowered slow mode holds at once.
-- KEYS[1] the account's last turn
-- ARGV[1] least time between two turns, in ms
-- Returns: 0 if the turn is taken; else the ms to wait
-- Caller: realtime.broker_redis.RedisBroker.take_turn
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = tonumber(redis.call('GET', KEYS[1]) or '0')
local slow = tonumber(ARGV[1])
if now - last < slow then
  return slow - (now - last)
end
redis.call('SET', KEYS[1], string.format('%.0f', now), 'PX', slow)
return 0
