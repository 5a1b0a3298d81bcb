-- Read whether a conversation has an owner and viewers, and record that viewers watch it.
--
-- KEYS  1 meta  2 lease
-- ARGV  1 '1' if viewers watch it at the caller
-- Returns {'ok', ms without an owner, or -1 with one, ms since viewers watched} | {'missing'}.
--
-- Fields of the record:
--   leased   the time up to which it had an owner at least, in ms since the epoch
--   seen     the time at which viewers watched it last, or of its creation
local meta, lease = KEYS[1], KEYS[2]
local record = redis.call('HMGET', meta, 'state', 'leased', 'seen')
if not record[1] then return {'missing'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function since(moment) return math.max(0, now - (tonumber(moment) or now)) end

if ARGV[1] == '1' or not record[3] then redis.call('HSET', meta, 'seen', string.format('%.0f', now)) end
local unowned_ms = -1
if redis.call('PTTL', lease) < 0 then unowned_ms = since(record[2]) end
return {'ok', unowned_ms, ARGV[1] == '1' and 0 or since(record[3])}
