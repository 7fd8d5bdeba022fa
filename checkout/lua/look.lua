-- What the gate believes of one product, in one step: for the reconciliation.
--
-- Guarantees: changes nothing. A gate that was built in another run of the server has no epoch: what was written in the
-- last second before a restart may be lost, and its sums may agree all the same.
--
-- KEYS  1 meta  2 holds  3 pending
-- ARGV  none
-- Returns {epoch or "", available, units pending, {hold, since ms, units, ...}, 1 if somebody waits}. Called by gate.Gate.look.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'available', 'waiting', 'run')
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local pending = redis.call('HGETALL', KEYS[3])
local list, total = {}, 0
for i = 1, #pending, 2 do
  local held = redis.call('HGET', KEYS[2], pending[i])
  local n = held and tonumber(string.match(held, '^%d+')) or 0
  total = total + n
  list[#list + 1] = pending[i]
  list[#list + 1] = pending[i + 1]
  list[#list + 1] = n
end
return {meta[4] == run and meta[1] or '', tonumber(meta[2] or '0'), total, list, tonumber(meta[3] or '0')}
