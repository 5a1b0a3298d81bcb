-- Postpone a delivery that is due, without an attempt, since its endpoint cannot take one now.
--
-- KEYS  1 webhook  hash  2 webhooks_due  3 webhooks_sent
-- ARGV  1 delivery       2 ms
-- Returns 1, or 0 when no attempt of it could begin now: nothing changes.
-- Fields as in begin_delivery.lua; `due` stays, so that nothing but time decides when it is due.
local found = redis.call('HMGET', KEYS[1], 'state', 'due', 'claimed')
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local free = math.max(tonumber(found[2]) or 0, tonumber(found[3]) or 0)
if (found[1] or '') ~= '' or free > now or not redis.call('ZSCORE', KEYS[2], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[2], string.format('%.0f', now + ARGV[2]), ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
return 1
