-- Store how many conversations a worker owns, and add up what all workers have stored.
--
-- KEYS  1 loads  hash: worker -> '<active> <owned> <until, in ms>'
-- ARGV  1 worker   2 active conversations   3 owned conversations   4 ms for which this counts
-- Returns {active, owned, workers} of all. What a worker stored counts until another report of it, or its time; what
-- cannot be read is removed.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local report = ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. string.format('%.0f', now + ARGV[4])
redis.call('HSET', KEYS[1], ARGV[1], report)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
local active, owned, workers = 0, 0, 0
local loads = redis.call('HGETALL', KEYS[1])
for i = 1, #loads, 2 do
  local its_active, its_owned, until_ms = string.match(loads[i + 1], '^(%d+) (%d+) (%d+)$')
  if until_ms and tonumber(until_ms) >= now then
    active, owned, workers = active + its_active, owned + its_owned, workers + 1
  else
    redis.call('HDEL', KEYS[1], loads[i])
  end
end
return {active, owned, workers}
