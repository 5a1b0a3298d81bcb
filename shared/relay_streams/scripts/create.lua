-- Create a conversation and queue it for an owner.
--
-- KEYS  1 meta     hash
--       2 unowned  stream
--       3 made     set of its creator's conversations
-- ARGV  1 id       2... fields and values of the record
-- Returns 1, or 0 when the id exists.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('XADD', KEYS[2], '*', 'c', ARGV[1])
-- Last: its existence means that the rest is written.
redis.call('HSET', KEYS[1], 'leased', now, 'seen', now, unpack(ARGV, 2))
redis.call('SPUBLISH', KEYS[2], '')
return 1
