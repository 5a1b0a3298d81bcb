-- Enter an endpoint: one attempt more at the same time, if it may have one.
--
-- KEYS  1 webhook-slots  zset   2 webhook-endpoint  hash
-- ARGV  1 slot                  2 most attempts at a time   3 ms after which a slot is free by itself
-- Returns {'entered'} | {'resting', ms} | {'busy'}. An endpoint whose last attempt failed has one slot.
--
-- Fields of the hash, which exists from a failure to the next success:
--   failures   attempts that have failed since the last success
--   rests      the time until which no attempt begins
local slots, endpoint, slot = KEYS[1], KEYS[2], ARGV[1]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local state = redis.call('HMGET', endpoint, 'failures', 'rests')
local rests = tonumber(state[2]) or 0
if rests > now then return {'resting', rests - now} end
local most = (tonumber(state[1]) or 0) > 0 and 1 or tonumber(ARGV[2])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', slots, '-inf', string.format('%.0f', now), 'LIMIT', 0, 100)) do
  redis.call('ZREM', slots, id)
end
if redis.call('ZCARD', slots) >= most then return {'busy'} end
redis.call('ZADD', slots, string.format('%.0f', now + ARGV[3]), slot)
redis.call('PEXPIRE', slots, ARGV[3] * 2)
return {'entered'}
