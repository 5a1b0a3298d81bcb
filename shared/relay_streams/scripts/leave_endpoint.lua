-- Leave an endpoint: its slot is free, and what the attempt has shown of the endpoint is noted.
--
-- KEYS  1 webhook-slots  zset   2 webhook-endpoint  hash
-- ARGV  1 slot   2 'answer', 'fault' or 'nothing'   3 failures in a row before it rests   4 ms of the first rest
--       5 most ms of a rest
-- Returns the ms for which it rests. Fields as in enter_endpoint.lua.
redis.call('ZREM', KEYS[1], ARGV[1])
if ARGV[2] == 'answer' then redis.call('DEL', KEYS[2]) end
if ARGV[2] ~= 'fault' then return 0 end
local failures = redis.pcall('HINCRBY', KEYS[2], 'failures', 1)
if type(failures) ~= 'number' then
  failures = 1
  redis.call('HSET', KEYS[2], 'failures', '1')
end
local over = failures - ARGV[3]
local rest = over < 0 and 0 or math.min(ARGV[4] * 2 ^ math.min(over, 32), tonumber(ARGV[5]))
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', KEYS[2], 'rests', string.format('%.0f', now + rest))
redis.call('PEXPIRE', KEYS[2], 86400000)
return rest
