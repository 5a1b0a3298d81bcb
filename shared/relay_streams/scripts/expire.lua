-- Queue conversations whose lease has expired, and count those that wait for an owner.
--
-- KEYS  1 leases  2 unowned
-- ARGV  1 most conversations   2 group   3 most undelivered entries that are counted
-- Returns {conversations queued, conversations waiting, ms the first of them has waited}. Atomic, so any number of
-- workers may run it at once.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. string.format('%.0f', now), 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do
  redis.call('XADD', KEYS[2], '*', 'c', id)
  redis.call('ZREM', KEYS[1], id)
end
if #ids > 0 then redis.call('SPUBLISH', KEYS[2], '') end

-- A conversation waits if its entry was not delivered to a worker, or is still pending at one. The group's lag does not
-- count them: Redis 7 computes it from the number of entries read, which neither replicas nor its append-only file get,
-- so that it counts entries again after a fail-over or a restart.
local waiting, delivered, oldest = 0, '0-0', now
local function include(id)
  oldest = math.min(oldest, tonumber(string.match(id, '^(%d+)-')))
end
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[2])
for _, group in ipairs(groups.err and {} or groups) do
  local info = {}
  for i = 1, #group, 2 do info[group[i]] = group[i + 1] end
  if info.name == ARGV[2] then
    waiting, delivered = info.pending, info['last-delivered-id']
    local pending = redis.call('XPENDING', KEYS[2], ARGV[2])
    if pending[1] > 0 then include(pending[2]) end
  end
end
local unread = redis.pcall('XRANGE', KEYS[2], '(' .. delivered, '+', 'COUNT', ARGV[3])
if unread[1] then
  waiting = waiting + #unread
  include(unread[1][1])
end
return {#ids, waiting, now - oldest}
