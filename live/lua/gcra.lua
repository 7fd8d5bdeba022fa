-- Spends one unit of a subject's allowance, or says how long to wait (GCRA, the leaky bucket as one timestamp).
--
-- Guarantees: atomic; never lets more than `burst` pass at once nor more than one per `interval` in the long run;
--             a refusal costs the subject nothing. The clock is this server's, so that callers need not agree.
-- KEYS: 1 the subject's key; holds the theoretical arrival time of the next unit, in microseconds.
-- ARGV: 1 interval between units, microseconds; 2 burst, units.
-- Returns: 0 if it may pass, else the microseconds to wait.
-- Caller: live/limits.py, Limiter.check

local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local arrival = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now) + interval
local wait = arrival - burst * interval - now
if wait > 0 then
  return math.ceil(wait)
end
-- %.0f: Lua would write 16 digits as 1.7e+15 and lose the microseconds.
redis.call('SET', KEYS[1], string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000))
return 0
