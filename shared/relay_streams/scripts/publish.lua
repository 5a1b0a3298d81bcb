-- Append an owner's frames, atomically with everything that must agree with them.
--
-- KEYS  1 meta   hash    the conversation's record
--       2 down   stream  frames
--       3 up     stream  trimmed to the uplink cursor
-- ARGV  1 generation   2 seq of the first frame
--       3 turn         4 position of the turn's first frame   5 that of the turn before
--       6 trim frames before this position, or ''             7 uplink cursor, or ''
--       8 checkpoint   9 phase of the turn   10 wall time in ms at which it has played, or 0
--       11... per frame: frame, trace: traceparent, and tracestate after a space, or ''
--
-- Returns {'ok', seq} | {'fenced', generation} | {'behind', seq} | {'missing'}.
-- Frames that the stream has already are skipped, so the same call may be repeated.
--
-- The notification carries the new frames inline while they are small together: a reader whose cursor is just before
-- them needs no read. '<position before them>\t', then for each the lengths of its id (u8), trace (u16) and
-- frame (u32), and these three. Versions with other lengths put a line feed after the position: a reader of either
-- version finds no frames in a notification of the other, and reads the stream.
local meta, down, up = KEYS[1], KEYS[2], KEYS[3]
local generation, first = ARGV[1], tonumber(ARGV[2])

local record = redis.call('HMGET', meta, 'generation', 'tail')
if not record[1] then return {'missing'} end
if record[1] ~= generation then return {'fenced', tonumber(record[1]) and record[1] or '0'} end

local tail_generation, tail_seq = string.match(record[2] or '', '^(%d+)-(%d+)$')
local have = tail_generation == generation and tonumber(tail_seq) or 0
if have < first - 1 then return {'behind', have} end

local MAX_INLINE_BYTES = 131072
local inline, inline_bytes = {(record[2] or '0-0') .. '\t'}, 0

local seq = first - 1
for i = 11, #ARGV, 2 do
  seq = seq + 1
  if seq > have then
    local id = generation .. '-' .. string.format('%d', seq)
    local trace = ARGV[i + 1]
    local entry = {'XADD', down, id, 'f', ARGV[i]}
    if trace ~= '' then
      local traceparent, tracestate = string.match(trace, '^(%S*) ?(.*)$')
      entry[6], entry[7] = 'traceparent', traceparent
      if tracestate ~= '' then entry[8], entry[9] = 'tracestate', tracestate end
    end
    -- Only the first can fail, since Redis checks memory before a script's first write only: the stream has a
    -- greater id although the record was lost, or memory is full. Nothing is written then.
    local added = redis.pcall(unpack(entry))
    if type(added) == 'table' and added.err then
      if string.find(added.err, 'equal or smaller', 1, true) then return {'fenced', '0'} end
      return added
    end
    local n = #inline
    inline[n + 1], inline[n + 2] = struct.pack('>I1I2I4', #id, #trace, #ARGV[i]), id
    inline[n + 3], inline[n + 4] = trace, ARGV[i]
    inline_bytes = inline_bytes + #ARGV[i]
  end
end

if seq > 0 then
  redis.call('HSET', meta, 'tail', generation .. '-' .. string.format('%d', seq),
    'turn', ARGV[3], 'turn_first', ARGV[4], 'turn_before', ARGV[5], 'checkpoint', ARGV[8],
    'turn_phase', ARGV[9], 'turn_ends_at_ms', ARGV[10])
end
if ARGV[7] ~= '' then
  redis.call('HSET', meta, 'up', ARGV[7])
  redis.call('XTRIM', up, 'MINID', '=', ARGV[7])
end
if ARGV[6] ~= '' then redis.call('XTRIM', down, 'MINID', '=', ARGV[6]) end
local is_inline = inline_bytes > 0 and inline_bytes <= MAX_INLINE_BYTES
redis.call('SPUBLISH', down, is_inline and table.concat(inline) or '')
return {'ok', seq}
