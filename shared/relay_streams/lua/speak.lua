-- Append a chunk of a turn's speech, exactly once and in order.
--
-- KEYS  1 meta  2 up
-- ARGV  1 turn, or 0 to open the next   2 byte offset of the chunk in its turn   3 PCM
--       4 '1' when it is the last        5 '1' when opening barges in             6 traceparent or ''
--       7 most entries waiting           8 most bytes waiting                     9 ms of silence after
--         which an open turn counts as left by its speaker
--
-- Returns {'ok', turn, offset after} | {'have', turn, offset} when the chunk is already in
--       | {'behind', turn, offset} when chunks before it are not | {'busy', turn} | {'closed', turn}
--       | {'full'} | {'ended'} | {'missing'}.
-- Turns never interleave: the next opens only when the one before is closed, or barged into.
local meta, up = KEYS[1], KEYS[2]
local turn, offset, pcm = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]

local record = redis.call('HMGET', meta, 'state', 'in_turn', 'in_open', 'in_offset', 'in_at', 'up_in')
if not record[1] then return {'missing'} end
if record[1] ~= 'open' then return {'ended'} end
local in_turn, in_open = tonumber(record[2]) or 0, record[3] == '1'
local in_offset, in_at, up_in = tonumber(record[4]) or 0, tonumber(record[5]) or 0, tonumber(record[6]) or 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

if turn > 0 then
  if turn ~= in_turn or not in_open then return {'closed', in_turn} end
  if offset < in_offset then return {'have', turn, in_offset} end
  if offset > in_offset then return {'behind', turn, in_offset} end
end

local waiting = redis.call('XLEN', up)
if waiting >= tonumber(ARGV[7]) then return {'full'} end
if waiting > 16 then
  local fields = redis.call('XRANGE', up, '-', '+', 'COUNT', 1)[1][2]
  for i = 1, #fields, 2 do
    if fields[i] == 'c' and up_in - tonumber(fields[i + 1]) + #pcm > tonumber(ARGV[8]) then return {'full'} end
  end
end

local entry = {'XADD', up, '*', 'k', 'speech'}
local function field(name, value) entry[#entry + 1] = name; entry[#entry + 1] = value end
if turn == 0 then
  if in_open then
    local left = now - in_at > tonumber(ARGV[9])
    if not left and ARGV[5] ~= '1' then return {'busy', in_turn} end
    -- The open turn's speaker is gone or overruled: close its input, so that it ends whole.
    redis.call('XADD', up, '*', 'k', 'speech', 't', in_turn, 'o', in_offset, 'd', '', 'e', '1', 'c', up_in)
  end
  turn, offset = in_turn + 1, 0
  if ARGV[5] == '1' then field('b', '1') end
  if ARGV[6] ~= '' then field('traceparent', ARGV[6]) end
end
if ARGV[4] == '1' then field('e', '1') end
field('t', turn); field('o', offset); field('d', pcm); field('c', up_in)
redis.call(unpack(entry))
redis.call('HSET', meta, 'in_turn', turn, 'in_open', ARGV[4] == '1' and '0' or '1',
  'in_offset', offset + #pcm, 'in_at', string.format('%.0f', now), 'up_in', string.format('%.0f', up_in + #pcm))
redis.call('SPUBLISH', up, '')
return {'ok', turn, offset + #pcm}
