-- Become the owner of a conversation, for a lease.
--
-- KEYS  1 meta  2 lease  3 leases  4 down  5 unowned
-- ARGV  1 id    2 owner  3 lease ms  4 group  5 queue entry that offered it, or ''
--       6 the latest format of a record that this worker reads
--
-- Returns {'ok', generation, lease value, last id of the down stream, record...}
--       | {'held'} | {'ended'} | {'missing'} | {'later'}: a later version of the relay wrote the record.
-- In every case but the last the queue entry is settled. The generation is larger than any this conversation's
-- record or stream has seen, and not smaller than the store's clock: losing one of them, or a wrong
-- clock at a worker, cannot issue a term twice.
local meta, lease, leases, down, unowned = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- Generations are milliseconds, and numbers that Lua counts exactly: this is in the year 144683.
local LARGEST = 2 ^ 52

-- Settled last: a claim that fails for want of memory leaves the offer standing.
local function settled(reply)
  if ARGV[5] ~= '' then
    redis.call('XACK', unowned, ARGV[4], ARGV[5])
    -- Trimmed only when nothing is pending, and never by XDEL: the group's lag stays countable.
    local pending = redis.pcall('XPENDING', unowned, ARGV[4])
    if pending[1] == 0 then redis.call('XTRIM', unowned, 'MINID', '=', ARGV[5]) end
  end
  return reply
end

local record = redis.call('HMGET', meta, 'state', 'generation', 'first_generation', 'format')
if not record[1] then return settled({'missing'}) end
if record[1] == 'ended' then return settled({'ended'}) end
-- A lease that never expires is none.
if redis.call('PTTL', lease) >= 0 then return settled({'held'}) end
if (tonumber(record[4]) or 1) > tonumber(ARGV[6]) then return {'later'} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local generation = math.max(now, (tonumber(record[2]) or 0) + 1)
redis.call('XLEN', down) -- fails where it is no stream
local info, last = redis.pcall('XINFO', 'STREAM', down), '0-0'
for i = 1, info.err and 0 or #info, 2 do
  if info[i] == 'last-generated-id' then last = info[i + 1] end
end
local last_generation = tonumber(string.match(last, '^(%d+)-'))
-- Behind an entry that no owner can have written none could write: the stream is lost.
if last_generation > LARGEST then
  redis.call('DEL', down)
  last = '0-0'
else
  generation = math.max(generation, last_generation + 1)
end
generation = string.format('%.0f', generation)

local value = ARGV[2] .. ' ' .. generation
redis.call('SET', lease, value, 'PX', ARGV[3])
local expiry = string.format('%.0f', now + ARGV[3])
redis.call('ZADD', leases, expiry, ARGV[1])
redis.call('HSET', meta, 'generation', generation, 'owner', ARGV[2], 'leased', expiry)
if not record[3] then redis.call('HSET', meta, 'first_generation', generation) end
return settled({'ok', generation, value, last, unpack(redis.call('HGETALL', meta))})
