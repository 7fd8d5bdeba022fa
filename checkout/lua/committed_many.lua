-- Takes holds that the truth has committed off the pending ones.
--
-- Guarantees: safe to repeat. Whatever the epoch is: what is committed is nobody's orphan. HDEL itself would do; but to
-- pack hundreds of arguments costs its caller several times what it costs here to unpack one.
--
-- KEYS  1 pending
-- ARGV  1 msgpack [hold, ...]
-- Returns how many were pending. Called by gate.Gate.settle_many.
-- unpack() overflows Lua's stack past some thousand values; the wrapper sends at most 500 holds.
return redis.call('HDEL', KEYS[1], unpack(cmsgpack.unpack(ARGV[1])))
