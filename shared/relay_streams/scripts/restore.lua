-- Bring the store level with a living owner after it lost data: a restart without it, a fail-over that
-- lost the tail, a record that was deleted. The owner writes the lost frames again after this.
--
-- KEYS  1 meta  2 lease  3 leases  4 down  5 up
-- ARGV  1 id    2 generation  3 lease value  4 lease ms
--       5 seq before the oldest frame the owner can write again
--       6 last up entry it read   7 last turn it took speech of   8 bytes of it   9 its state   10 its key
--      11 its trace context
--      12... fields and values the record was created with
--
-- Returns {'ok', seq the stream has, or may do without} | {'fenced', generation}.
-- Nothing moves back: a larger generation in the record or in the stream stays in power, and input that
-- is further than the owner's stays as it is.
local meta, lease, leases, down, up = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local generation = ARGV[2]

local function last_id(stream)
  redis.call('XLEN', stream) -- fails where it is none
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
  local past = string.format('%d %s %d %s\n', in_turn, record[5] == 'ended' and 'ended' or 'cut', in_offset, record[7] or '')
  redis.call('HSET', meta, 'in_turn', turn, 'in_offset', offset, 'in_state', ARGV[9], 'in_key', ARGV[10], 'in_trace', ARGV[11],
    'in_past', (record[8] or '') .. past)
  redis.call('HDEL', meta, 'in_at')
elseif turn == in_turn and record[5] == 'open' and (offset > in_offset or ARGV[9] ~= 'open') then
  redis.call('HSET', meta, 'in_offset', math.max(offset, in_offset), 'in_state', ARGV[9])
end

-- Ids of new up entries must be larger than what the owner has read, whatever the new store's clock says.
local read_ms, read_number = string.match(ARGV[6], '^(%d+)-(%d+)$')
read_ms, read_number = tonumber(read_ms), tonumber(read_number)
if redis.call('EXISTS', up) == 0 then
  redis.call('XGROUP', 'CREATE', up, 'restored', '0', 'MKSTREAM')
  redis.call('XGROUP', 'DESTROY', up, 'restored')
end
local up_ms, up_number = last_id(up)
if read_ms > up_ms or (read_ms == up_ms and read_number > up_number) then redis.call('XSETID', up, ARGV[6]) end
return {'ok', have}
