-- Tell every process that an account was sent out of a show, whatever shows the process has open.
-- Guarantees: nothing is kept; a process that Redis does not reach misses it.
-- KEYS[1] hub hash: only its slot counts  ARGV[1] the channel of all processes  ARGV[2] account  ARGV[3] show
-- Returns: 1
-- Caller: realtime.broker_redis.RedisBroker.dismiss
redis.call('PUBLISH', ARGV[1], 'B ' .. ARGV[2] .. '\n' .. ARGV[3])
return 1
