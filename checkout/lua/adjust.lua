-- Tells the gate of a restock, of the kill switch, or whether somebody waits.
--
-- Guarantees: nothing if the epochs differ. Not safe to repeat with units: a message in doubt is followed by a rebuild.
--
-- KEYS  1 meta
-- ARGV  1 epoch that the truth read under its lock  2 units to add  3 open, 4 waiting: "1", "0", or "" to leave it
--       5 channel of the news (see sold_out.lua)
-- Returns 1, or 0 if the epochs differ. Called by gate.Gate.adjust.
if redis.call('HGET', KEYS[1], 'epoch') ~= ARGV[1] then return 0 end
if ARGV[2] ~= '0' then redis.call('HINCRBY', KEYS[1], 'available', ARGV[2]) end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], 'open', ARGV[3]) end
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'waiting', ARGV[4]) end
redis.call('HINCRBY', KEYS[1], 'turn', 1)
redis.call('PUBLISH', ARGV[5], KEYS[1])
return 1
