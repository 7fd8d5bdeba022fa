-- Tell every process something for one account's sockets alone.
-- Guarantees: nothing is kept; who is not there misses it.
-- KEYS[1] hub hash: only its slot counts  ARGV[1] bus channel  ARGV[2] head: "A <account>"
-- ARGV[3] the event as JSON
-- Returns: 1
-- Caller: realtime.broker_redis.RedisBroker.whisper
redis.call('PUBLISH', ARGV[1], ARGV[2] .. '\n' .. ARGV[3])
return 1
