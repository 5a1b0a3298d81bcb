-- Count what an account has noted, and change the account accordingly.
--
-- KEYS  1 account  hash    2 accounts_due  zset    3... per day: usage, usage_apps
-- ARGV  1 conversation     2 revision of the account as it was read
--       3 when it is due next, in ms since the epoch, or '' for never
--       4 ms after which the account expires, or '' to leave that as it is
--       5 app              6 ms to keep usage
--       7... per day: number of counters, and per counter its name and what is added
--       then the number of fields to set, these with their values, and the fields to remove
-- Returns 1, or 0 when the account has another revision: nothing is written.
local account, due = KEYS[1], KEYS[2]
if (redis.call('HGET', account, 'revision') or '0') ~= ARGV[2] then return 0 end
-- A key of another type fails the call before the first write.
redis.call('ZCARD', due)
for i = 3, #KEYS, 2 do
  redis.call('HLEN', KEYS[i])
  redis.call('SCARD', KEYS[i + 1])
end

local at = 7
local function next_argument()
  at = at + 1
  return ARGV[at - 1]
end

for i = 3, #KEYS, 2 do
  local row, apps = KEYS[i], KEYS[i + 1]
  for _ = 1, tonumber(next_argument()) do
    local counter, value = next_argument(), next_argument()
    local added = redis.pcall('HINCRBY', row, counter, value)
    if type(added) == 'table' and added.err then redis.call('HSET', row, counter, value) end -- it was no integer
  end
  redis.call('PEXPIRE', row, ARGV[6])
  redis.call('SADD', apps, ARGV[5])
  redis.call('PEXPIRE', apps, ARGV[6])
end

if ARGV[3] == '' then redis.call('ZREM', due, ARGV[1]) else redis.call('ZADD', due, ARGV[3], ARGV[1]) end
if redis.call('EXISTS', account) == 1 then
  redis.call('HINCRBY', account, 'revision', 1)
  for _ = 1, tonumber(next_argument()) do
    local field = next_argument()
    redis.call('HSET', account, field, next_argument())
  end
  while at <= #ARGV do redis.call('HDEL', account, next_argument()) end
  if ARGV[4] ~= '' then redis.call('PEXPIRE', account, ARGV[4]) end
end
return 1
