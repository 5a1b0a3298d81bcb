-- Become the one who scans a server's keys, for a time.
--
-- KEYS  1 reaper  hash
-- ARGV  1 ms for which nobody else may
-- Returns the cursor at which the scan continues, or nothing while somebody else scans.
-- Fields: cursor, where the scan stopped; until, the wall time in ms until which it is somebody's.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local record = redis.call('HMGET', KEYS[1], 'until', 'cursor')
if (tonumber(record[1]) or 0) > now then return false end
redis.call('HSET', KEYS[1], 'until', string.format('%.0f', now + ARGV[1]))
redis.call('PEXPIRE', KEYS[1], 86400000)
return record[2] or '0'
