-- Delete the streams of a conversation whose record has been gone for long.
--
-- KEYS  1 meta  2 lease  3 up  4 down  5 orphans
-- ARGV  1 id    2 ms for which the record must have been gone
-- Returns the number of streams deleted. The first call only notes the time in orphans: an owner that lives writes its
-- record again, and examine.lua removes the note then.
local meta, lease, orphans = KEYS[1], KEYS[2], KEYS[5]
if redis.call('EXISTS', meta, lease) > 0 then
  redis.call('ZREM', orphans, ARGV[1])
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = redis.call('ZSCORE', orphans, ARGV[1])
if not since then
  redis.call('ZADD', orphans, string.format('%.0f', now), ARGV[1])
  return 0
end
if now - tonumber(since) < tonumber(ARGV[2]) then return 0 end
redis.call('ZREM', orphans, ARGV[1])
local removed = 0
for i = 3, 4 do
  if redis.call('PTTL', KEYS[i]) == -1 then removed = removed + redis.call('DEL', KEYS[i]) end
end
return removed
