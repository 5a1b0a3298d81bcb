-- Read conversations without an owner from a partition's queue: first those pending at another worker for long, then
-- new ones.
--
-- KEYS  1 unowned  stream
-- ARGV  1 group    2 consumer   3 most entries   4 ms after which another's pending entry is assigned again
-- Returns {entry id, conversation, entry id, conversation...}.
local unowned, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local limit = tonumber(ARGV[3])

local reclaimed = redis.pcall('XAUTOCLAIM', unowned, group, consumer, ARGV[4], '0', 'COUNT', limit)
if reclaimed.err then
  -- No such key or group: Redis is new, or has lost its data.
  redis.pcall('XGROUP', 'CREATE', unowned, group, '0', 'MKSTREAM')
  reclaimed = {'0-0', {}}
end
local found = {}
local function add(entries)
  for _, entry in ipairs(entries) do
    found[#found + 1] = entry[1]
    found[#found + 1] = entry[2][2]
  end
end
add(reclaimed[2])
limit = limit - #reclaimed[2]
if limit > 0 then
  local unread = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', limit, 'STREAMS', unowned, '>')
  if unread then add(unread[1][2]) end
end
return found
