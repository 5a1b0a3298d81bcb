-- Find the deliveries of a partition that are due and of which no task was sent lately; remove dead letters that are
-- too old.
--
-- KEYS  1 webhooks_due   2 webhooks_sent   3 webhooks_dead
-- ARGV  1 most that are looked at   2 ms after which a task is sent again   3 ms to keep dead letters
--       4 start of the deliveries' keys
-- Returns deliveries. Only the first of those that are due are looked at: while tasks of all of them are on their way,
-- no further task is sent, so the broker never has more than that number, and those sent again.
local due, sent, dead = KEYS[1], KEYS[2], KEYS[3]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function before(key, ms, limit)
  return redis.call('ZRANGEBYSCORE', key, '-inf', string.format('%.0f', ms), 'LIMIT', 0, limit)
end

for _, id in ipairs(before(dead, now - ARGV[3], 100)) do
  redis.call('ZREM', dead, id)
  redis.call('DEL', ARGV[4] .. id)
end
for _, id in ipairs(before(sent, now - ARGV[2], 1000)) do redis.call('ZREM', sent, id) end
local found = {}
for _, id in ipairs(before(due, now, ARGV[1])) do
  if not redis.call('ZSCORE', sent, id) then
    redis.call('ZADD', sent, string.format('%.0f', now), id)
    found[#found + 1] = id
  end
end
return found
