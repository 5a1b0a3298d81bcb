-- Return a conversation that cannot be owned here now to the queue after a delay, twice as long each time.
--
-- KEYS  1 meta  2 leases  3 unowned
-- ARGV  1 id    2 ms of the first delay   3 most ms   4 group   5 the queue entry that assigned it
-- Returns the delay in ms.
--
-- Field of the record besides those of claim.lua:
--   deferred     the number of times it was deferred
local count = redis.pcall('HINCRBY', KEYS[1], 'deferred', 1)
if type(count) ~= 'number' then count = 16 end
local wait_ms = math.min(ARGV[2] * 2 ^ (math.min(count, 32) - 1), tonumber(ARGV[3]))
local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + wait_ms
redis.call('ZADD', KEYS[2], 'GT', string.format('%.0f', due), ARGV[1])
redis.call('XACK', KEYS[3], ARGV[4], ARGV[5])
return wait_ms
