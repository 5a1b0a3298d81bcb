-- Index and queue a conversation that no index has: keys can be evicted, or deleted by hand.
--
-- KEYS  1 meta  2 lease  3 leases  4 unowned  5 made
-- ARGV  1 id    2 ms without an owner after which an index should have it
-- Returns 1 when it was queued, else 0.
local meta, lease, leases, unowned, made = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local MAX_SCANNED = 10000

local record = redis.call('HMGET', meta, 'state', 'leased')
if not record[1] or record[1] == 'ended' then return 0 end
redis.call('SADD', made, ARGV[1])
if redis.call('PTTL', lease) >= 0 or redis.call('ZSCORE', leases, ARGV[1]) then return 0 end
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) - (tonumber(record[2]) or 0) < tonumber(ARGV[2]) then return 0 end
-- A longer queue is not searched: the next scan finds the conversation again.
if redis.call('EXISTS', unowned) == 1 then
  if redis.call('XLEN', unowned) > MAX_SCANNED then return 0 end
  for _, entry in ipairs(redis.call('XRANGE', unowned, '-', '+')) do
    if entry[2][2] == ARGV[1] then return 0 end
  end
end
redis.call('XADD', unowned, '*', 'c', ARGV[1])
redis.call('SPUBLISH', unowned, '')
return 1
