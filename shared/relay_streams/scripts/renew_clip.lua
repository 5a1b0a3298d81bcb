-- Extend the claim of a clip, and store how far its rendering is.
--
-- KEYS  1 record  hash   2 due  zset
-- ARGV  1 id   2 token of the claim   3 ms for which it holds from now   4... fields and values of the record
-- Returns 1, or 0 when the claim is another's, or the clip was cancelled: nothing is written.
local record, due, id = KEYS[1], KEYS[2], ARGV[1]
if redis.call('HGET', record, 'token') ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
local until_ms = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[3]))
redis.call('ZADD', due, until_ms, id)
redis.call('HSET', record, 'claimed_until', until_ms, unpack(ARGV, 4))
return 1
