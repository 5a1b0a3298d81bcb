-- Consume an entry of an outbox: remove it, and write what follows from it.
--
-- KEYS  1 outbox  stream
--       2...      the key of each write
-- ARGV  1 group   2 entry id
--       3...      per write: command, number of its arguments, arguments
-- Returns 1, or 0 when the entry is not pending: it was consumed, and nothing is written.
--
-- Whatever could fail is checked before the first write, so that either all of it is written or nothing. A key of
-- another type fails the call; the client deletes that key and repeats the call. A field that is no integer is set
-- anew by HINCRBY. The first write needs no memory, and Redis checks memory before the first write only: a full Redis
-- can still be relieved of its entries.
local outbox, group, entry = KEYS[1], ARGV[1], ARGV[2]

local TYPES = {}
for _, row in ipairs({
  {'HSET', 'hash'}, {'HSETNX', 'hash'}, {'HINCRBY', 'hash'}, {'ZADD', 'zset'}, {'SADD', 'set'}, {'PEXPIRE', false},
}) do TYPES[row[1]] = row[2] end

local writes, at = {}, 3
for i = 2, #KEYS do
  local command, count = ARGV[at], tonumber(ARGV[at + 1])
  local wanted = TYPES[command]
  if wanted == nil then return redis.error_reply('ERR a write of this command is not allowed: ' .. command) end
  local found = redis.call('TYPE', KEYS[i]).ok
  if wanted and found ~= 'none' and found ~= wanted then
    return redis.error_reply('WRONGTYPE a key that an entry of the outbox writes to has another type')
  end
  writes[i - 1] = {command, KEYS[i], unpack(ARGV, at + 2, at + 1 + count)}
  at = at + 2 + count
end

if redis.call('XACK', outbox, group, entry) == 0 then return 0 end
redis.call('XDEL', outbox, entry)
for _, write in ipairs(writes) do
  local written = redis.pcall(unpack(write))
  if type(written) == 'table' and written.err and write[1] == 'HINCRBY' then
    redis.call('HSET', write[2], write[3], write[4])
  end
end
return 1
