-- Begin an attempt of a delivery: the next number is issued, once, and the delivery is claimed for a time.
--
-- KEYS  1 webhook  hash   2 webhooks_due  3 webhooks_sent
-- ARGV  1 delivery        2 ms of the claim
-- Returns {'begun', number, number of the last attempt before a retry by hand or 0, ms since the delivery began,
--          facts, body}
--       | {'later'}: it is claimed, or not due yet | {'settled'}: it is delivered, a dead letter, or unknown.
--
-- Fields of the hash:
--   facts, body  written once, when the delivery is planned; an empty body: delivered
--   state        '' while attempts follow, 'delivered' or 'dead'
--   attempts     the number of the last attempt
--   spent        the number of the last attempt before a retry by hand
--   since        when the first attempt began, or the retry by hand was asked for
--   due          the earliest time of the next attempt
--   claimed      the time until which an attempt may be running
--   outcome, status, ended   of the last attempt that ended
local webhook, due, sent, delivery = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
redis.call('ZREM', sent, delivery)
local found = redis.call('HMGET', webhook, 'facts', 'body', 'state', 'due', 'claimed', 'since', 'spent')
if not found[1] or not found[2] or (found[3] or '') ~= '' then
  redis.call('ZREM', due, delivery)
  return {'settled'}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local free = math.max(tonumber(found[4]) or 0, tonumber(found[5]) or 0)
if free > now then
  redis.call('ZADD', due, string.format('%.0f', free), delivery)
  return {'later'}
end
local claimed = string.format('%.0f', now + ARGV[2])
redis.call('ZADD', due, claimed, delivery)
local since = tonumber(found[6])
if not since then
  since = now
  redis.call('HSET', webhook, 'since', string.format('%.0f', now))
end
redis.call('HSET', webhook, 'claimed', claimed)
local number = redis.call('HINCRBY', webhook, 'attempts', 1)
return {'begun', number, tonumber(found[7]) or 0, now - since, found[1], found[2]}
