-- What a process needs to refuse taps on a sold-out product by itself.
--
-- Guarantees: read in one step. As long as the epoch and the turn stay the same, nothing is to be had, and no hold and
-- no buyer is there that this answer does not name: every script that changes that raises the turn and says the meta
-- key on the channel of the news, in the same step.
--
-- KEYS  1 meta  2 holds  3 buyers  4 was now  5 was before
-- ARGV  1 at most so many ids
-- Returns {epoch, turn, limit, {hold, ...}, {buyer with units, ...}}, or {} if there is something to be had, sales are
-- closed, or there are more ids than that. Called by gate.Gate.sold_out.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'turn', 'limit', 'available', 'open', 'waiting')
if not meta[1] or meta[5] ~= '1' or (tonumber(meta[4]) > 0 and meta[6] ~= '1') then return {} end
local count = 0
for i = 2, 5 do count = count + redis.call('HLEN', KEYS[i]) end
if count > tonumber(ARGV[1]) then return {} end
local holds, buyers = redis.call('HKEYS', KEYS[2]), {}
for i = 4, 5 do
  for _, id in ipairs(redis.call('HKEYS', KEYS[i])) do holds[#holds + 1] = id end
end
local units = redis.call('HGETALL', KEYS[3])
for i = 1, #units, 2 do
  if tonumber(units[i + 1]) > 0 then buyers[#buyers + 1] = units[i] end
end
return {meta[1], meta[2], meta[3], holds, buyers}
