-- Append an owner's frames, atomically with everything that must agree with them.
--
-- KEYS  1 meta   hash    the conversation's record
--       2 down   stream  frames
--       3 up     stream  trimmed to the uplink cursor
--       4 outbox, 5 outbox_discarded: only with events
-- ARGV  1 generation   2 seq of the first frame
--       3 turn         4 position of the turn's first frame   5 that of the turn before
--       6 trim frames before this position, or ''             7 uplink cursor, or ''
--       8 checkpoint   9 phase of the turn   10 wall time in ms at which it has played, or 0
--       11 for a recorded conversation: most bytes of its frames that wait to be copied; else ''
--       with events: 12 their number, 13 conversation, 14 most entries of the outbox, then per event: seq of its
--       frame, type, data
--       ... per frame: frame, trace: traceparent, and tracestate after a space, or ''
--
-- Returns {'ok', seq} | {'fenced', generation} | {'behind', seq} | {'missing'}.
-- Frames that the stream has already are skipped with their events, so the same call may be repeated.
--
-- A frame of a recorded conversation stays until it is copied, unless too many bytes wait. Fields of its record:
--   rec_cursor   the position of the last frame copied
--   rec_waiting  bytes of the frames after it
--   rec_removed  bytes of the frames that were removed before they were copied
--   rec_keep     the oldest frame that retention keeps
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

local outbox, at, event_at, events = KEYS[4], 12, nil, nil
if outbox then
  check_outbox(outbox, KEYS[5])
  at, event_at, events = 15 + 3 * tonumber(ARGV[12]), {}, {}
  for i = 15, at - 1, 3 do event_at[tonumber(ARGV[i])] = i + 1 end
end

local MAX_INLINE_BYTES = 131072
local inline, inline_bytes = {(record[2] or '0-0') .. '\t'}, 0 -- the bytes of all new frames

local seq = first - 1
for i = at, #ARGV, 2 do
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
    local event = event_at and event_at[seq]
    if event then events[#events + 1] = {ARGV[13] .. '.' .. id, ARGV[event], ARGV[event + 1], trace, true} end
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
local keep = ARGV[6]
if ARGV[11] ~= '' then
  local most = tonumber(ARGV[11])
  local recording = redis.call('HMGET', meta, 'rec_cursor', 'rec_waiting', 'rec_removed')
  local waiting, removed = (tonumber(recording[2]) or 0) + inline_bytes, 0
  local copied, copied_seq = string.match(recording[1] or '', '^(%d+)-(%d+)$')
  copied, copied_seq = tonumber(copied) or 0, tonumber(copied_seq) or 0
  if keep ~= '' then
    redis.call('HSET', meta, 'rec_keep', keep)
    local kept, kept_seq = string.match(keep, '^(%d+)-(%d+)$')
    kept, kept_seq = tonumber(kept), tonumber(kept_seq)
    if kept > copied or (kept == copied and kept_seq > copied_seq + 1) then
      keep = string.format('%.0f-%.0f', copied, copied_seq + 1)
    end
  end
  local after = string.format('(%.0f-%.0f', copied, copied_seq)
  while waiting > most do
    local oldest = redis.call('XRANGE', down, after, '+', 'COUNT', 17)
    if #oldest < 2 then break end -- the newest frame always stays
    for i = 1, #oldest - 1 do
      if waiting <= most then break end
      local size = #oldest[i][2][2]
      waiting, removed = waiting - size, removed + size
      after, keep = '(' .. oldest[i][1], oldest[i + 1][1]
    end
  end
  redis.call('HSET', meta, 'rec_waiting', string.format('%.0f', waiting))
  if removed > 0 then
    redis.call('HSET', meta, 'rec_removed', string.format('%.0f', (tonumber(recording[3]) or 0) + removed))
  end
end
if keep ~= '' then redis.call('XTRIM', down, 'MINID', '=', keep) end
if events and #events > 0 then append_events(outbox, KEYS[5], meta, ARGV[13], ARGV[14], events) end
local is_inline = inline_bytes > 0 and inline_bytes <= MAX_INLINE_BYTES
redis.call('SPUBLISH', down, is_inline and table.concat(inline) or '')
return {'ok', seq}
