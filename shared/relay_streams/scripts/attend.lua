-- Ask whether a conversation is attended to, by an owner and by viewers; and note that viewers are.
--
-- KEYS  1 meta  2 lease
-- ARGV  1 '1' when viewers watch it at the caller's
-- Returns {'ok', ms it has waited for an owner, or -1 when it has one, ms since viewers watched it} | {'missing'}.
--
-- Fields of the record:
--   leased   until when it had an owner at least, in ms since the epoch
--   seen     when viewers watched it last, or it began
local meta, lease = KEYS[1], KEYS[2]
local record = redis.call('HMGET', meta, 'state', 'leased', 'seen')
if not record[1] then return {'missing'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function since(moment) return math.max(0, now - (tonumber(moment) or now)) end

if ARGV[1] == '1' or not record[3] then redis.call('HSET', meta, 'seen', string.format('%.0f', now)) end
local waits = -1
if redis.call('PTTL', lease) < 0 then waits = since(record[2]) end
return {'ok', waits, ARGV[1] == '1' and 0 or since(record[3])}
