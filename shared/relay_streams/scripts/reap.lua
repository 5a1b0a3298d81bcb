-- Remove consumers of stopped processes from a stream's group.
--
-- KEYS  1 stream
-- ARGV  1 group   2 a consumer that stops now, or ''   3 ms of idleness after which another counts as stopped
-- Returns the number removed. A consumer with pending entries stays until another consumer has them: removing it would
-- lose them.
local removed = 0
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])
for _, consumer in ipairs(consumers.err and {} or consumers) do
  local info = {}
  for i = 1, #consumer, 2 do info[consumer[i]] = consumer[i + 1] end
  if info.pending == 0 and (info.name == ARGV[2] or info.idle > tonumber(ARGV[3])) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], info.name)
    removed = removed + 1
  end
end
return removed
