-- Append a piece of a turn's speech, exactly once and in order. KEYS and ARGV 1 to 4 as in turn_input.lua.
--
-- ARGV  5 byte offset of the piece in its turn   6 '1' if the turn's audio ends with it
--       7 '1' to barge in when the turn opens    8 trace: traceparent, and tracestate after a space, or ''
--       9 most entries unread   10 most bytes unread
--       for a viewer: 11 most unread entries of viewers   12 most unread bytes of them; else '' and ''
--       13 for an agent: the last uplink entry that its owner has processed; else ''
--       14 the kind of speaker, stored with the entry that opens the turn; '' when it is unknown
--       15 number of chunks   16... PCM of the piece, in the chunks that become entries; then, of a clip,
--         field m of each entry: the motion of the chunk
--         (the script does not cut chunks: creating a string costs Lua more than the XADD costs Redis)
--
-- Returns {'in', turn, offset, state, key} when the piece is appended, by this call or an earlier one, or as much
--         of it as there is capacity for; offset is the end of the turn's audio
--       | {'behind', turn, offset} when audio before the piece is missing
--       | {'over', turn, offset, state} when the turn accepts no more audio, has more than the piece ends it with,
--         or ends within an entry of a clip
--       | {'busy', turn} | {'full'}.
-- Turns never interleave: a turn opens only when the one before has ended, was cut for silence, or is barged into.
-- An agent of another generation appends nothing. One whose owner has not processed the last interrupt or barge-in
-- opens no turn: the avatar would speak although it was stopped.
local offset, last, barge_in = tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7] == '1'
local trace = ARGV[8]
local limits = {entries = tonumber(ARGV[9]), bytes = tonumber(ARGV[10]), viewer_entries = tonumber(ARGV[11]),
  viewer_bytes = tonumber(ARGV[12])}
local last_entry, source = ARGV[13], ARGV[14]
local FIRST, LAST = 16, 15 + tonumber(ARGV[15])

-- Field m of a chunk; nil when its motion comes from Motion Server.
local function motion_of(i) return ARGV[i + LAST - FIRST + 1] end

local function is_after(id, other)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  if not ms then return false end
  local other_ms, other_number = string.match(other, '^(%d+)-(%d+)$')
  if ms ~= other_ms then return tonumber(ms) > tonumber(other_ms) end
  return tonumber(number) > tonumber(other_number)
end

local after, motion_bytes = offset, 0
for i = FIRST, LAST do
  after = after + #ARGV[i]
  motion_bytes = motion_bytes + #(motion_of(i) or '')
end

local found = find()
if found then
  if found.state == 'cut' or (last and after < found.offset) or (found.state == 'ended' and after > found.offset) then
    return {'over', found.turn, found.offset, found.state}
  end
  if offset > found.offset then return {'behind', found.turn, found.offset} end
  if found.state == 'ended' or (after <= found.offset and not last) then return state_of(found) end
else
  if turn > 0 and turn <= input.turn then return {'over', turn, 0, 'cut'} end
  if offset > 0 then return {'behind', turn, 0} end
  if generation ~= '' and record[10] and is_after(record[10], last_entry) then return {'over', turn, 0, 'cut'} end
  if input.state == 'open' and turn == 0 and not barge_in then return {'busy', input.turn} end
end

-- Skip what is appended already.
local first, from = FIRST, offset
local at = found and found.offset or 0
while first < LAST and from + #ARGV[first] <= at do
  from = from + #ARGV[first]
  first = first + 1
end
local data, motion = string.sub(ARGV[first], at - from + 1), motion_of(first)
-- An entry of a clip is appended whole: its turn has other audio when that ends within an entry.
if motion and at > from and data ~= '' then return {'over', found.turn, found.offset, found.state} end
local wanted_bytes = after - math.max(at, from) + motion_bytes
local entries, bytes = capacity(meta, up, sums, base, limits, LAST - first + 1, wanted_bytes)
if entries < 1 or #data + #(motion or '') > bytes then
  -- A speaker whose audio waits for capacity is not silent: the turn stays open.
  if found then redis.call('HSET', meta, 'in_at', string.format('%.0f', now)) end
  return {'full'}
end

local entry = {}
local function field(name, value) entry[#entry + 1] = name; entry[#entry + 1] = value end
local opens = not found
if opens then
  if input.state == 'open' then cut() end
  if input.turn > 0 then
    past = past .. string.format('%d %s %d %s\n', input.turn, input.state, input.offset, input.key)
    while select(2, string.gsub(past, '\n', '')) > 7 do past = string.match(past, '\n(.*)$') end
  end
  -- A turn that Redis has lost opens again under its number: the turns before it have ended.
  found = {turn = math.max(input.turn + 1, turn), offset = 0, key = key}
  redis.call('HSET', meta, 'in_past', past, 'in_key', key, 'in_trace', trace)
  if key ~= '' then field('key', key) end
  if barge_in and input.turn > 0 then
    redis.call('HSET', meta, 'in_stopped', input.turn, 'in_stop_reason', 'barge_in')
  end
  if barge_in then field('b', '1') end
  if source ~= '' then field('source', source) end
end
if trace ~= '' then
  local traceparent, tracestate = string.match(trace, '^(%S*) ?(.*)$')
  field('traceparent', traceparent)
  if tracestate ~= '' then field('tracestate', tracestate) end
end
found.state = 'open'
for i = first, LAST do
  if i > first then data, motion = ARGV[i], motion_of(i) end
  local size = #data + #(motion or '')
  if entries < 1 or size > bytes then break end
  if last and i == LAST then field('e', '1'); found.state = 'ended' end
  if motion then field('m', motion) end
  field('t', found.turn); field('o', found.offset); field('d', data); field('c', sums)
  local id = redis.call('XADD', up, '*', 'k', 'speech', unpack(entry))
  if opens and i == first and barge_in and generation == '' then redis.call('HSET', meta, 'in_stop', id) end
  sums = counted(sums, size, limits.viewer_entries)
  entry, entries, bytes, found.offset = {}, entries - 1, bytes - size, found.offset + #data
end
redis.call('HSET', meta, 'in_turn', found.turn, 'in_state', found.state, 'in_offset', found.offset,
  'in_at', string.format('%.0f', now), 'up_in', sums)
redis.call('SPUBLISH', up, '')
return {'in', found.turn, found.offset, found.state, found.key}
