-- Notes whether an item is sold out, and says whether that is news.
--
-- Guarantees: of all processes that see the same change, exactly one is told that it is news; what is older than
--             what was noted is none, nor is the first note of an item.
-- KEYS: 1 the show's hash: per variant "version out".
-- ARGV: 1 variant; 2 version of the stock, nought: only if nothing was noted; 3 whether it is sold out, as "1" or "0".
-- Returns: 1 if it was the other way round before, else 0.
-- Caller: live/shared_stock.py, SharedStockTeller._is_news

local noted = redis.call('HGET', KEYS[1], ARGV[1])
if noted then
  local version, out = string.match(noted, '^(%d+) (%d)$')
  if tonumber(version) >= tonumber(ARGV[2]) then
    return 0
  end
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
  return out ~= ARGV[3] and 1 or 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. ARGV[3])
return 0
