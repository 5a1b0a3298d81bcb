-- Read entries of an outbox: first those pending at another consumer, or at this one, for long, then new ones.
--
-- KEYS  1 outbox  stream
-- ARGV  1 group   2 consumer   3 most entries   4 ms after which a pending entry is read again
-- Returns {{entry id, {name, value...}}...}.
local outbox, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local limit = tonumber(ARGV[3])

local reclaimed = redis.pcall('XAUTOCLAIM', outbox, group, consumer, ARGV[4], '0', 'COUNT', limit)
if reclaimed.err then
  -- A key without the group: it is new, or Redis has lost the group. Without the key there is nothing to read.
  if redis.call('XLEN', outbox) == 0 then return {} end
  redis.pcall('XGROUP', 'CREATE', outbox, group, '0')
  reclaimed = {'0-0', {}}
end
local found = reclaimed[2]
limit = limit - #found
if limit > 0 then
  local unread = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', limit, 'STREAMS', outbox, '>')
  for _, entry in ipairs(unread and unread[1][2] or {}) do found[#found + 1] = entry end
end
return found
