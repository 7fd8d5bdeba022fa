-- Take one chat message out of the log and tell every process.
-- Guarantees: the text is gone from the log exactly when the deletion has its offset. A message too old to stand in
-- the log may still stand on a page: its deletion is published too. Ids sort by birth, which tells the two apart.
-- KEYS[1] hub hash (epoch, offset, state version)  KEYS[2] log stream  KEYS[3] retained hash  KEYS[4] state hash
-- ARGV[1] epoch to use if the show has none  ARGV[2] bus channel  ARGV[3] the message's id
-- ARGV[4] the deletion as JSON  ARGV[5] most entries of the log
-- Returns: {epoch, offset}; offset 0: there is no such message, or no longer
-- Caller: realtime.broker_redis.RedisBroker.delete_chat
if redis.call('HSETNX', KEYS[1], 'epoch', ARGV[1]) == 1 then
  redis.call('DEL', KEYS[2], KEYS[3])
end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
local found, oldest
local deletions = 0
local log = redis.call('XRANGE', KEYS[2], '-', '+')
for _, entry in ipairs(log) do
  local fields = entry[2]
  if fields[2] == 'c' then
    oldest = oldest or fields[4]
    if fields[4] == ARGV[3] then
      found = entry[1]
      break
    end
  elseif fields[2] == 'x' then
    deletions = deletions + 1
    if fields[4] == ARGV[3] then
      return {epoch, 0}
    end
  end
end
local trimmed = #log + deletions < tonumber(redis.call('HGET', KEYS[1], 'offset') or '0')
if not found and not (trimmed and (not oldest or ARGV[3] < oldest)) then
  return {epoch, 0}
end
if found then
  redis.call('XDEL', KEYS[2], found)
end
local offset = redis.call('HINCRBY', KEYS[1], 'offset', 1)
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[5], offset .. '-0', 'k', 'x', 'n', ARGV[3], 'd', ARGV[4])
redis.call('PUBLISH', ARGV[2], 'P ' .. epoch .. ' ' .. offset .. ' x ' .. ARGV[3] .. '\n' .. ARGV[4])
return {epoch, offset}
