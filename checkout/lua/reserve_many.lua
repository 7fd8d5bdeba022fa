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
-- Returns {epoch of the gate or "", {code, ...}, turn}; no codes if the epochs differ: then nothing was decided. The turn
-- is "" unless nothing is to be had any more (see sold_out.lua).
-- Called by gate.Gate.reserve_many.
local meta = redis.call('HMGET', KEYS[1], 'epoch', 'available', 'open', 'limit', 'waiting', 'turn')
if meta[1] ~= ARGV[1] then return {meta[1] or '', {}, ''} end
local available, open, limit = tonumber(meta[2]), meta[3] == '1', tonumber(meta[4])
local waiting = meta[5] == '1'
local now, variant, taps = ARGV[2], ARGV[3], cmsgpack.unpack(ARGV[4])

local ids, names = {}, {}
for i = 1, #taps, 3 do
  ids[#ids + 1] = taps[i]
  names[#names + 1] = taps[i + 1]
end
-- unpack() overflows Lua's stack past some thousand values; the wrapper sends at most 500 taps.
-- Before the first refusal and the first ended hold four of these keys are not there: then they cost one look.
local function look(key, fields)
  if redis.call('EXISTS', key) == 0 then return {} end
  return redis.call('HMGET', key, unpack(fields))
end
local known, units = look(KEYS[2], ids), look(KEYS[3], names)
local said_now, said_before, was_now, was_before = look(KEYS[5], ids), look(KEYS[6], ids), look(KEYS[7], ids), look(KEYS[8], ids)

local has, fresh, heard, codes = {}, {}, {}, {}
local holds, buyers, pending, said = {}, {}, {}, {}
for j = 1, #ids do
  local id, buyer, n = ids[j], names[j], taps[j * 3]
  local refused = n < 0
  if refused then n = -n end
  local print = variant .. ':' .. n
  local ended, word = was_now[j] or was_before[j], heard[id] or said_now[j] or said_before[j]
  local held = fresh[id] or (known[j] and tonumber(string.match(known[j], '^%d+')))
  local old_code, old_print = nil, nil
  if word then old_code, old_print = string.match(word, '^(-?%d+)|(.*)$') end
  if has[buyer] == nil then has[buyer] = tonumber(units[j] or '0') end

  local code
  if old_print and old_print ~= print then code = -4
  elseif held then code = held == n and 2 or -4
  elseif ended == 'f' then code = -5
  elseif ended then code = ended == 'r:' .. n and 2 or -4
  elseif old_code and tonumber(old_code) < 0 then code = tonumber(old_code)
  else
    if not open then code = -3
    elseif has[buyer] + n > limit then code = -2
    elseif refused or waiting or n > available then code = -1
    else
      code = 1
      available = available - n
      has[buyer] = has[buyer] + n
      fresh[id] = n
      holds[#holds + 1] = id
      holds[#holds + 1] = n .. ':' .. buyer
      buyers[buyer] = true
      pending[#pending + 1] = id
      pending[#pending + 1] = now
    end
    heard[id] = code .. '|' .. print
    -- An admitted one stands in holds, and once it has ended in was.
    if code < 0 then
      said[#said + 1] = id
      said[#said + 1] = heard[id]
    end
  end
  codes[j] = code
end

if #holds > 0 then
  local counts = {}
  for buyer, _ in pairs(buyers) do
    counts[#counts + 1] = buyer
    counts[#counts + 1] = has[buyer]
  end
  redis.call('HSET', KEYS[1], 'available', available)
  redis.call('HSET', KEYS[2], unpack(holds))
  redis.call('HSET', KEYS[3], unpack(counts))
  redis.call('HSET', KEYS[4], unpack(pending))
end
if #said > 0 then
  redis.call('HSET', KEYS[5], unpack(said))
  redis.call('PEXPIRE', KEYS[5], ARGV[5])
end
local gone = open and (waiting or available <= 0)
return {meta[1], codes, gone and (meta[6] or '0') or ''}
