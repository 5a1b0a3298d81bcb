-- Take conversations that need an owner from a partition's queue: those another worker took and
-- did not settle first, then new ones.
--
-- KEYS  1 unowned  stream
-- ARGV  1 group    2 consumer   3 how many   4 ms after which another's entry may be taken
-- Returns {entry id, conversation, entry id, conversation...}.
local unowned, group, consumer = KEYS[1], ARGV[1], ARGV[2]
local room = tonumber(ARGV[3])

local taken = redis.pcall('XAUTOCLAIM', unowned, group, consumer, ARGV[4], '0', 'COUNT', room)
if taken.err then
  -- No such key or group: a new store, or one that lost its data.
  redis.pcall('XGROUP', 'CREATE', unowned, group, '0', 'MKSTREAM')
  taken = {'0-0', {}}
end
local found = {}
local function add(entries)
  for _, entry in ipairs(entries) do
    found[#found + 1] = entry[1]
    found[#found + 1] = entry[2][2]
  end
end
add(taken[2])
room = room - #taken[2]
if room > 0 then
  local fresh = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', room, 'STREAMS', unowned, '>')
  if fresh then add(fresh[1][2]) end
end
return found
