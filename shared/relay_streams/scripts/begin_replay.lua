-- Create the conversation of a replay: it has an owner from the start, and disappears unless it is renewed.
--
-- KEYS  1 meta  2 down  3 lease
-- ARGV  1 lease value   2 ms until its keys expire   3... fields and values of the record
-- Returns its time in ms, which its field seen has until a gateway reports a viewer; or 0 when there is such a
-- conversation, or frames of one.
local meta, down, lease = KEYS[1], KEYS[2], KEYS[3]
if redis.call('EXISTS', meta, down, lease) > 0 then return 0 end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', meta, 'leased', now, 'seen', now, unpack(ARGV, 3))
redis.call('PEXPIRE', meta, ARGV[2])
redis.call('SET', lease, ARGV[1], 'PX', ARGV[2])
return tonumber(now)
