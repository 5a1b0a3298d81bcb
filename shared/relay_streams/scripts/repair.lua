-- Put a conversation that no index knows into the indexes again: keys can be evicted, or deleted by hand.
--
-- KEYS  1 meta  2 lease  3 leases  4 unowned  5 made
-- ARGV  1 id    2 ms without an owner after which it should be in one of them
-- Returns 1 when it was put up for an owner.
local meta, lease, leases, unowned, made = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local MOST_WAITING = 10000

local record = redis.call('HMGET', meta, 'state', 'leased')
if not record[1] or record[1] == 'ended' then return 0 end
redis.call('SADD', made, ARGV[1])
if redis.call('PTTL', lease) >= 0 or redis.call('ZSCORE', leases, ARGV[1]) then return 0 end
local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) - (tonumber(record[2]) or 0) < tonumber(ARGV[2]) then return 0 end
-- Where so much waits it is looked for again once that has been taken.
if redis.call('EXISTS', unowned) == 1 then
  if redis.call('XLEN', unowned) > MOST_WAITING then return 0 end
  for _, entry in ipairs(redis.call('XRANGE', unowned, '-', '+')) do
    if entry[2][2] == ARGV[1] then return 0 end
  end
end
redis.call('XADD', unowned, '*', 'c', ARGV[1])
redis.call('SPUBLISH', unowned, '')
return 1
