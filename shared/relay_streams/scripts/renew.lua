-- Renew leases of one partition.
--
-- KEYS  1 leases   2, 3... per conversation: lease, meta
-- ARGV  1 lease ms 2, 3, 4... per conversation: id, lease value, generation
-- Returns {ids that another owner has, ids whose record, or our generation in it, Redis has lost}. A lease that has
-- expired is renewed as long as no other worker has claimed the conversation: the record has our generation then.
local time = redis.call('TIME')
local expiry = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1])
local lost, gone = {}, {}
for i = 2, #KEYS, 2 do
  local lease, meta = KEYS[i], KEYS[i + 1]
  local a = 2 + (i - 2) / 2 * 3
  local id, value, generation = ARGV[a], ARGV[a + 1], ARGV[a + 2]
  local current, owning = redis.call('GET', lease), redis.call('HGET', meta, 'generation')
  if (tonumber(owning) or 0) < tonumber(generation) then
    gone[#gone + 1] = id
  elseif owning == generation and (not current or current == value) then
    redis.call('SET', lease, value, 'PX', ARGV[1])
    redis.call('ZADD', KEYS[1], expiry, id)
    redis.call('HSET', meta, 'leased', expiry)
  else
    lost[#lost + 1] = id
  end
end
return {lost, gone}
