-- Put conversations whose lease ran out up for a new owner.
--
-- KEYS  1 leases  2 unowned
-- ARGV  1 how many at most
-- Returns how many. Atomic, so any number of workers may sweep at once.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. now, 'LIMIT', 0, ARGV[1])
for _, id in ipairs(ids) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('XADD', KEYS[2], '*', 'c', id)
end
if #ids > 0 then redis.call('SPUBLISH', KEYS[2], '') end
return #ids
