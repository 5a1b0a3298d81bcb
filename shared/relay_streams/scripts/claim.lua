-- Become the owner of a conversation, for the duration of a lease.
--
-- KEYS  1 meta  2 lease  3 leases  4 down  5 unowned
-- ARGV  1 id    2 owner  3 lease ms  4 group  5 the queue entry that assigned it, or ''
--       6 the latest record format that this worker can read
--       7... the agents of this worker: name, and the kinds of viewers' messages that it accepts; none: not known
--
-- Returns {'ok', generation, lease value, last id of the down stream, when the former lease was to expire or '',
--          record...}
--       | {'held'} | {'ended'} | {'missing'} | {'later'}: a later version of the relay wrote the record.
-- Acknowledges the queue entry, except for 'later'. The generation is greater than any in the conversation's record
-- or stream, and not less than the server's clock: neither the loss of one of them nor a wrong clock of a worker can
-- issue a generation twice. The record's field accepts has the kinds that the conversation's agent accepts, separated
-- by spaces; '-' for none.
local meta, lease, leases, down, unowned = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

-- Generations are milliseconds that Lua represents exactly: this one is in the year 144683.
local MAX_GENERATION = 2 ^ 52

-- The last write: a claim that fails for lack of memory leaves the assignment pending.
local function acknowledged(reply)
  if ARGV[5] ~= '' then
    redis.call('XACK', unowned, ARGV[4], ARGV[5])
    -- Trimmed only while nothing is pending: an entry that is pending is read again by another worker.
    local pending = redis.pcall('XPENDING', unowned, ARGV[4])
    if pending[1] == 0 then redis.call('XTRIM', unowned, 'MINID', '=', ARGV[5]) end
  end
  return reply
end

local record = redis.call('HMGET', meta, 'state', 'generation', 'first_generation', 'format', 'leased', 'agent')
if not record[1] then return acknowledged({'missing'}) end
if record[1] == 'ended' then return acknowledged({'ended'}) end
-- A lease without an expiry does not count.
if redis.call('PTTL', lease) >= 0 then return acknowledged({'held'}) end
if (tonumber(record[4]) or 1) > tonumber(ARGV[6]) then return {'later'} end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local generation = math.max(now, (tonumber(record[2]) or 0) + 1)
redis.call('XLEN', down) -- fails if the key is not a stream
local info, last = redis.pcall('XINFO', 'STREAM', down), '0-0'
for i = 1, info.err and 0 or #info, 2 do
  if info[i] == 'last-generated-id' then last = info[i + 1] end
end
local last_generation = tonumber(string.match(last, '^(%d+)-'))
-- No owner could append after an entry of a generation that no owner can have: delete the stream.
if last_generation > MAX_GENERATION then
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
if #ARGV > 6 then
  local accepts = '-'
  for i = 7, #ARGV, 2 do
    if ARGV[i] == (record[6] or 'push') then accepts = ARGV[i + 1] end
  end
  redis.call('HSET', meta, 'accepts', accepts)
end
return acknowledged({'ok', generation, value, last, record[2] and record[5] or '', unpack(redis.call('HGETALL', meta))})
