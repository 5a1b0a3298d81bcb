-- Append a piece of a turn's speech, exactly once and in order. KEYS and ARGV 1 to 4 as in turn_input.lua.
--
-- ARGV  5 byte offset of the piece in its turn   6 '1' when it is the last
--       7 '1' when opening barges in             8 trace: traceparent, and tracestate after a space, or ''
--       9 most entries waiting   10 most bytes waiting
--       a viewer's: 11 most entries of viewers waiting   12 most bytes of them; '' for both from others
--       13 an agent's last up entry that its owner acted on; '' from others
--       14... its PCM, in the chunks that become entries
--         (chunks are not cut here: to make a string costs Lua more than Redis takes to append it)
--
-- Returns {'in', turn, offset, state, key} when the piece is in, now or before, or as much of it as there is
--         capacity for; offset is where the turn is
--       | {'behind', turn, offset} when what comes before it is not
--       | {'over', turn, offset, state} when the turn accepts no more, or is longer than the piece's end
--       | {'busy', turn} | {'full'}.
-- Turns never interleave: the next opens only when the one before is over, left silent, or barged into.
-- An agent of another generation appends nothing, and one whose owner has not acted on the last interrupt, or on
-- the last barge-in, opens nothing: it would break the silence that was asked for.
local offset, last, barges = tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7] == '1'
local trace = ARGV[8]
local limits = {entries = tonumber(ARGV[9]), bytes = tonumber(ARGV[10]), viewer_entries = tonumber(ARGV[11]),
  viewer_bytes = tonumber(ARGV[12])}
local last_entry = ARGV[13]
local FIRST = 14

local function is_after(id, other)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  if not ms then return false end
  local other_ms, other_number = string.match(other, '^(%d+)-(%d+)$')
  if ms ~= other_ms then return tonumber(ms) > tonumber(other_ms) end
  return tonumber(number) > tonumber(other_number)
end

local after = offset
for i = FIRST, #ARGV do after = after + #ARGV[i] end

local meant = find()
if meant then
  if meant.state == 'cut' or (last and after < meant.offset) or (meant.state == 'ended' and after > meant.offset) then
    return {'over', meant.turn, meant.offset, meant.state}
  end
  if offset > meant.offset then return {'behind', meant.turn, meant.offset} end
  if meant.state == 'ended' or (after <= meant.offset and not last) then return is_in(meant) end
else
  if turn > 0 and turn <= input.turn then return {'over', turn, 0, 'cut'} end
  if offset > 0 then return {'behind', turn, 0} end
  if generation ~= '' and record[10] and is_after(record[10], last_entry) then return {'over', turn, 0, 'cut'} end
  if input.state == 'open' and turn == 0 and not barges then return {'busy', input.turn} end
end

-- Past what is in.
local first, from = FIRST, offset
local at = meant and meant.offset or 0
while first < #ARGV and from + #ARGV[first] <= at do
  from = from + #ARGV[first]
  first = first + 1
end
local data = string.sub(ARGV[first], at - from + 1)
local entries, bytes = capacity(meta, up, sums, base, limits, #ARGV - first + 1, after - math.max(at, from))
if entries < 1 or #data > bytes then
  -- A speaker whose audio waits for capacity is not silent.
  if meant then redis.call('HSET', meta, 'in_at', string.format('%.0f', now)) end
  return {'full'}
end

local entry = {}
local function field(name, value) entry[#entry + 1] = name; entry[#entry + 1] = value end
local opens = not meant
if opens then
  if input.state == 'open' then cut() end
  if input.turn > 0 then
    past = past .. string.format('%d %s %d %s\n', input.turn, input.state, input.offset, input.key)
    while select(2, string.gsub(past, '\n', '')) > 7 do past = string.match(past, '\n(.*)$') end
  end
  -- A turn whose opening Redis has lost opens again under its number: those before it are over.
  meant = {turn = math.max(input.turn + 1, turn), offset = 0, key = key}
  redis.call('HSET', meta, 'in_past', past, 'in_key', key, 'in_trace', trace)
  if key ~= '' then field('key', key) end
  if barges and input.turn > 0 then redis.call('HSET', meta, 'in_stopped', input.turn, 'in_stop_reason', 'barge_in') end
  if barges then field('b', '1') end
end
if trace ~= '' then
  local traceparent, tracestate = string.match(trace, '^(%S*) ?(.*)$')
  field('traceparent', traceparent)
  if tracestate ~= '' then field('tracestate', tracestate) end
end
meant.state = 'open'
for i = first, #ARGV do
  if i > first then data = ARGV[i] end
  if entries < 1 or #data > bytes then break end
  if last and i == #ARGV then field('e', '1'); meant.state = 'ended' end
  field('t', meant.turn); field('o', meant.offset); field('d', data); field('c', sums)
  local id = redis.call('XADD', up, '*', 'k', 'speech', unpack(entry))
  if opens and i == first and barges and generation == '' then redis.call('HSET', meta, 'in_stop', id) end
  sums = counted(sums, #data, limits.viewer_entries)
  entry, entries, bytes, meant.offset = {}, entries - 1, bytes - #data, meant.offset + #data
end
redis.call('HSET', meta, 'in_turn', meant.turn, 'in_state', meant.state, 'in_offset', meant.offset,
  'in_at', string.format('%.0f', now), 'up_in', sums)
redis.call('SPUBLISH', up, '')
return {'in', meant.turn, meant.offset, meant.state, meant.key}
