-- Decides the taps of one tick on one product.
--
-- Guarantees: all or none of it is seen; a hold id is decided once; nobody over the limit; nothing over what is
-- available, and nothing at all while somebody is on the waitlist: the units are theirs. An admitted unit stays pending, promised to nobody, until the truth has decided (settle_many.lua).
-- A decision is remembered under its hold id for one to two minutes, so that a retry gets the same answer.
--
-- KEYS  1 meta (epoch, available, open, waiting, limit)  2 holds (hold -> units:buyer)  3 buyers (buyer -> units)
--       4 pending (hold -> since ms)  5 said now  6 said before (hold -> code|variant:units)
--       7 was now  8 was before (hold -> r:units or f: holds that ended)
-- ARGV  1 epoch  2 now_ms  3 variant  4 msgpack [hold, buyer, units, hold, buyer, units, ...]; units below zero: a tap
--       that a process refused by itself before (sold_out.lua): it is a hold by now, or stays refused
--       5 lifetime of "said" in ms
-- Returns {epoch of the gate or "", {code, ...}, turn}; no codes if the epochs differ: then nothing was decided. In place
-- of the codes 1: all were admitted. The turn is "" unless nothing is to be had any more (see sold_out.lua).
-- Called by gate.Gate.reserve_many.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'available', 'open', 'limit', 'waiting', 'turn')
if meta[1] ~= ARGV[1] then return {meta[1] or '', {}, ''} end
local available, open, limit = tonumber(meta[2]), meta[3] == '1', tonumber(meta[4])
local waiting = meta[5] == '1'
local now, variant, taps = ARGV[2], ARGV[3], cmsgpack.unpack(ARGV[4])

local ids, names, count = {}, {}, #taps / 3
for j = 1, count do
  ids[j], names[j] = taps[j * 3 - 2], taps[j * 3 - 1]
end
-- unpack() overflows Lua's stack past some thousand values; the wrapper sends at most 500 taps.
-- Before the first refusal and the first ended hold four of these keys are not there: then they cost one look.
local function look(key, fields)
  if redis.call('EXISTS', key) == 0 then return {} end
  return redis.call('HMGET', key, unpack(fields))
end
local known, units = look(KEYS[2], ids), look(KEYS[3], names)
local said_now, said_before, was_now, was_before = look(KEYS[5], ids), look(KEYS[6], ids), look(KEYS[7], ids), look(KEYS[8], ids)

local fresh, heard = {}, {}
-- What was decided of a hold id before, for so many units; nil: nothing.
local function before(j, id, n)
  local word = heard[id] or said_now[j] or said_before[j]
  if word then
    local code, print = string.match(word, '^(-?%d+)|(.*)$')
    if print ~= variant .. ':' .. n then return -4 end
    word = tonumber(code)
  end
  local held = fresh[id] or (known[j] and tonumber(string.match(known[j], '^%d+')))
  if held then return held == n and 2 or -4 end
  local ended = was_now[j] or was_before[j]
  if ended == 'f' then return -5 end
  if ended then return ended == 'r:' .. n and 2 or -4 end
  return word
end

-- This runs for each tap of a rush: what only a retry or a refusal needs is made where there is one.
local has, codes, refusals, k = {}, {}, 0, 0
local holds, buyers, pending, said = {}, {}, {}, {}
for j = 1, count do
  local id, buyer, n = ids[j], names[j], taps[j * 3]
  local refused = n < 0
  if refused then n = -n end
  local had, code = has[buyer] or tonumber(units[j] or 0), nil
  if known[j] or fresh[id] or heard[id] or said_now[j] or said_before[j] or was_now[j] or was_before[j] then
    code = before(j, id, n)
  end
  if code then
    refusals = refusals + 1
  elseif open and had + n <= limit and not (refused or waiting or n > available) then
    code = 1
    available = available - n
    had = had + n
    fresh[id] = n
    holds[k + 1], holds[k + 2] = id, n .. ':' .. buyer
    buyers[k + 1], buyers[k + 2] = buyer, had
    pending[k + 1], pending[k + 2] = id, now
    k = k + 2
  else
    code = not open and -3 or had + n > limit and -2 or -1
    refusals = refusals + 1
    -- An admitted one stands in holds, and once it has ended in was.
    heard[id] = code .. '|' .. variant .. ':' .. n
    said[#said + 1] = id
    said[#said + 1] = heard[id]
  end
  has[buyer] = had
  codes[j] = code
end

if k > 0 then
  redis.call('HSET', KEYS[1], 'available', available)
  redis.call('HSET', KEYS[2], unpack(holds))
  redis.call('HSET', KEYS[3], unpack(buyers))
  redis.call('HSET', KEYS[4], unpack(pending))
end
if #said > 0 then
  redis.call('HSET', KEYS[5], unpack(said))
  redis.call('PEXPIRE', KEYS[5], ARGV[5])
end
local gone = open and (waiting or available <= 0)
return {meta[1], refusals == 0 and 1 or codes, gone and (meta[6] or '0') or ''}
