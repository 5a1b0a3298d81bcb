-- Make a dead letter due now, with as many further attempts as a new delivery.
--
-- KEYS  1 webhook  hash   2 webhooks_due  3 webhooks_dead
-- ARGV  1 delivery
-- Returns 1, or 0 when it is no dead letter. Fields as in begin_delivery.lua. Attempts are numbered further.
if redis.call('ZREM', KEYS[3], ARGV[1]) == 0 then return 0 end
local found = redis.call('HMGET', KEYS[1], 'state', 'attempts')
if found[1] ~= 'dead' then return 0 end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('HSET', KEYS[1], 'state', '', 'due', '0', 'claimed', '0', 'since', now, 'spent', found[2] or '0')
redis.call('ZADD', KEYS[2], now, ARGV[1])
return 1
