-- Read what the reaper has to know of a conversation, and delete a lease that can never expire.
--
-- KEYS  1 meta  2 lease  3 up  4 down  5 orphans
-- ARGV  1 id
-- Returns {state, ms idle, ms without an owner or -1 with one, leases deleted, reason of the requested end or ''}. The
-- state is 'orphan' for streams without a record and without an expiry, and 'none' where there is nothing to reap.
local meta, lease, up, down, orphans = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local now, removed = wall_ms(), 0
local left_ms = redis.call('PTTL', lease)
if left_ms == -1 then removed = redis.call('DEL', lease) end -- it does not count as one

local record = record_of(meta)
if not record.state then
  if left_ms >= 0 then return {'none', 0, -1, removed, ''} end -- its owner will write the record again
  local streams = redis.call('PTTL', up) == -1 or redis.call('PTTL', down) == -1
  return {streams and 'orphan' or 'none', 0, 0, removed, ''}
end
redis.call('ZREM', orphans, ARGV[1])
local unowned_ms = left_ms >= 0 and -1 or math.max(0, now - ms_of(record.leased))
local reason = ''
local close = record.in_close and redis.pcall('XRANGE', up, record.in_close, record.in_close)[1]
for i = 1, close and #close[2] or 0, 2 do
  if close[2][i] == 'r' then reason = close[2][i + 1] end
end
return {record.state, idle_ms(now, record, up), unowned_ms, removed, reason}
