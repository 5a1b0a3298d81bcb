-- Put conversations whose lease ran out up for a new owner, and say how many wait for one.
--
-- KEYS  1 leases  2 unowned
-- ARGV  1 how many at most   2 group
-- Returns {how many were put up, how many wait, ms the first of them has waited}. Atomic, so any number of workers may
-- sweep at once.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now), 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do
  redis.call('XADD', KEYS[2], '*', 'c', id)
  redis.call('ZREM', KEYS[1], id)
end
if #ids > 0 then redis.call('SPUBLISH', KEYS[2], '') end

-- What waits was not delivered to any worker, or was not settled by one.
local waiting, delivered, oldest = 0, '0-0', now
local function note(id)
  oldest = math.min(oldest, tonumber(string.match(id, '^(%d+)-')))
end
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[2])
for _, group in ipairs(groups.err and {} or groups) do
  local info = {}
  for i = 1, #group, 2 do info[group[i]] = group[i + 1] end
  if info.name == ARGV[2] then
    waiting, delivered = info.pending + (info.lag or 0), info['last-delivered-id']
    local pending = redis.call('XPENDING', KEYS[2], ARGV[2])
    if pending[1] > 0 then note(pending[2]) end
  end
end
local fresh = redis.pcall('XRANGE', KEYS[2], '(' .. delivered, '+', 'COUNT', 1)
if fresh[1] then
  waiting = math.max(waiting, 1)
  note(fresh[1][1])
end
return {#ids, waiting, now - oldest}
