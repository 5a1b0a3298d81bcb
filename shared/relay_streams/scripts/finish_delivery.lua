-- Finish an attempt of a delivery: it is delivered, due again, or a dead letter.
--
-- KEYS  1 webhook  hash   2 webhooks_due  3 webhooks_dead
-- ARGV  1 delivery        2 number of the attempt   3 'delivered', 'due' or 'dead'   4 ms until it is due again
--       5 outcome         6 status of the answer    7 ms to know a success           8 most dead letters
-- Returns {'finished', number of dead letters discarded at the bound}
--       | {'stale'}: another attempt has begun since; only a success is recorded then.
-- Fields as in begin_delivery.lua. A success keeps the hash, without the body, so that a repeated event sends nothing.
local webhook, due, dead, delivery, state = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[3]
local found = redis.call('HMGET', webhook, 'attempts', 'state')
if found[2] == 'delivered' or (found[1] ~= ARGV[2] and state ~= 'delivered') then return {'stale'} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = string.format('%.0f', now)
redis.call('HSET', webhook, 'state', state == 'due' and '' or state, 'claimed', '0', 'outcome', ARGV[5],
  'status', ARGV[6], 'ended', at)
if state == 'due' then
  local again = string.format('%.0f', now + ARGV[4])
  redis.call('HSET', webhook, 'due', again)
  redis.call('ZADD', due, again, delivery)
  return {'finished', 0}
end
redis.call('ZREM', due, delivery)
if state == 'delivered' then
  redis.call('ZREM', dead, delivery)
  redis.call('HSET', webhook, 'body', '')
  redis.call('PEXPIRE', webhook, ARGV[7])
  return {'finished', 0}
end
redis.call('ZADD', dead, at, delivery)
local excess = math.min(redis.call('ZCARD', dead) - ARGV[8], 100)
if excess <= 0 then return {'finished', 0} end
local prefix = string.sub(webhook, 1, -#delivery - 1)
local oldest = redis.call('ZRANGEBYSCORE', dead, '-inf', '+inf', 'LIMIT', 0, excess)
for _, id in ipairs(oldest) do
  redis.call('ZREM', dead, id)
  redis.call('DEL', prefix .. id)
end
return {'finished', #oldest}
