-- Write a living owner's ownership again after Redis has lost data: a restart without its data, a fail-over that lost
-- the last writes, a deleted record. The owner appends the lost frames after this.
--
-- KEYS  1 meta  2 lease  3 leases  4 down  5 up
-- ARGV  1 id    2 generation  3 lease value  4 lease ms
--       5 seq before the oldest frame that the owner can append again
--       6 last uplink entry it has read   7 last turn whose speech it has read   8 bytes of it   9 its state
--       10 its key   11 its trace context
--      12... fields and values of the record at its creation
--
-- Returns {'ok', seq after which the owner appends its frames} | {'fenced', generation}.
-- Nothing moves back: a greater generation in the record or in the stream still wins, and input that is ahead of the
-- owner's stays as it is.
local meta, lease, leases, down, up = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local generation = ARGV[2]

local function last_id(stream)
  redis.call('XLEN', stream) -- fails if the key is not a stream
  local info = redis.pcall('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then
      local ms, number = string.match(info[i + 1], '^(%d+)-(%d+)$')
      return tonumber(ms), tonumber(number)
    end
  end
end

local record = redis.call('HMGET', meta, 'generation', 'state', 'in_turn', 'in_offset', 'in_state', 'tail',
  'in_key', 'in_past')
if (tonumber(record[1]) or 0) > tonumber(generation) then return {'fenced', record[1]} end
local stream_generation, seq = last_id(down)
if (stream_generation or 0) > tonumber(generation) then
  return {'fenced', string.format('%.0f', stream_generation)}
end

local have = tonumber(ARGV[5])
if stream_generation == tonumber(generation) then have = math.max(have, seq) end

redis.call('HSET', meta, 'generation', generation, 'owner', string.match(ARGV[3], '^%S+'))
if not record[2] then redis.call('HSET', meta, unpack(ARGV, 12)) end
if have > 0 then
  redis.call('HSET', meta, 'tail', generation .. '-' .. string.format('%d', have))
elseif string.match(record[6] or '', '^%d+') == generation then
  redis.call('HDEL', meta, 'tail')
end
redis.call('SET', lease, ARGV[3], 'PX', ARGV[4])
local time = redis.call('TIME')
redis.call('ZADD', leases, string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[4]), ARGV[1])

local in_turn, in_offset = tonumber(record[3]) or 0, tonumber(record[4]) or 0
local turn, offset = tonumber(ARGV[7]), tonumber(ARGV[8])
if turn > in_turn then
  local past = string.format('%d %s %d %s\n', in_turn, record[5] == 'ended' and 'ended' or 'cut', in_offset,
    record[7] or '')
  redis.call('HSET', meta, 'in_turn', turn, 'in_offset', offset, 'in_state', ARGV[9], 'in_key', ARGV[10],
    'in_trace', ARGV[11],
    'in_past', (record[8] or '') .. past)
  redis.call('HDEL', meta, 'in_at')
elseif turn == in_turn and record[5] == 'open' and (offset > in_offset or ARGV[9] ~= 'open') then
  redis.call('HSET', meta, 'in_offset', math.max(offset, in_offset), 'in_state', ARGV[9])
end

-- Ids of new uplink entries must be greater than the owner's cursor, whatever the clock of this server is.
local read_ms, read_number = string.match(ARGV[6], '^(%d+)-(%d+)$')
read_ms, read_number = tonumber(read_ms), tonumber(read_number)
if redis.call('EXISTS', up) == 0 then
  redis.call('XGROUP', 'CREATE', up, 'restored', '0', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', up, 'restored')
end
local up_ms, up_number = last_id(up)
if read_ms > up_ms or (read_ms == up_ms and read_number > up_number) then redis.call('XSETID', up, ARGV[6]) end
return {'ok', have}
