-- Claim a clip for one attempt to render it.
--
-- KEYS  1 record  hash   2 due  zset
-- ARGV  1 id   2 token of the claim   3 ms for which it holds
-- Returns {'claimed', number of the attempt, conversation of the attempt before, or ''}
--       | {'held'} when another claim holds, or the clip is not due | {'over'} when there is nothing to render.
local record, due, id = KEYS[1], KEYS[2], ARGV[1]
local found = redis.call('HMGET', record, 'state', 'conversation', 'claimed_until', 'creator', 'avatar', 'sample_rate')
local is_open = found[1] == 'queued' or found[1] == 'rendering'
if not (is_open and found[4] and found[5] and found[6]) then
  if found[1] ~= 'removed' then redis.call('ZREM', due, id) end
  return {'over'}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now < (tonumber(found[3]) or 0) then return {'held'} end
local until_ms = string.format('%.0f', now + tonumber(ARGV[3]))
redis.call('ZADD', due, until_ms, id)
redis.call('HSET', record, 'state', 'rendering', 'token', ARGV[2], 'claimed_until', until_ms)
return {'claimed', redis.call('HINCRBY', record, 'attempts', 1), found[2] or ''}
