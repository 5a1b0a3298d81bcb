-- Append a piece of a turn's speech, exactly once and in order; ask how far a turn is; or hold it open.
--
-- KEYS  1 meta  2 up
-- ARGV  1 turn, or 0 when the speaker does not know it   2 key: names the opening, so that repeating it
--         opens no second turn; '' for none              3 byte offset of the piece in its turn
--       4 '1' when it is the last   5 '1' when opening barges in   6 traceparent or ''
--       7 most entries waiting   8 most bytes waiting   9 ms of silence after which an open turn is cut
--       a viewer's: 10 most entries of viewers waiting   11 most bytes of them; '' for both from others
--       an owner's agent: 12 its generation   13 the last up entry acted on; '' for both from a door
--       14 ms for which an open turn may be held without audio, to hold it; else ''
--       15... its PCM, in the chunks that become entries; without any the call only asks, or holds
--         (chunks are not cut here: to make a string costs Lua more than Redis takes to append it)
--
-- Returns {'in', turn, offset, state, key} when the piece is in, now or before, or as much of it as there was
--         room for; offset is where the turn is
--       | {'behind', turn, offset} when what comes before it is not
--       | {'over', turn, offset, state} when the turn takes no more, or is longer than this says
--       | {'unknown'} to a question about no turn of the last eight
--       | {'busy', turn} | {'full'} | {'ended'} | {'missing'} | {'fenced', generation}.
-- Turns never interleave: the next opens only when the one before is over, left silent, or barged into.
-- An agent of another generation says nothing more, and one that has not heard the last interrupt, or of
-- the last barge-in, opens nothing: it would speak into the silence that was asked for.
--
-- Input fields of the record; restore.lua pushes them forward:
--   in_turn, in_offset   the turn opened last, and the bytes of it that are in
--   in_state             open, ended (complete) or cut (interrupted, barged into, left silent)
--   in_key, in_at        the key it was opened with, and when its last chunk came or found no room, in ms
--   in_hold              of a turn that is held: its bytes, and when it was silent first, in ms
--   in_past              the turns before it, seven at most: lines of turn, state, offset, key
--   up_in, up_base       what was ever appended; see room.lua
local meta, up = KEYS[1], KEYS[2]
local turn, key, offset, last, barges = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1', ARGV[5] == '1'
local limits = {entries = tonumber(ARGV[7]), bytes = tonumber(ARGV[8]), viewer_entries = tonumber(ARGV[10]),
  viewer_bytes = tonumber(ARGV[11])}
local generation, heard = ARGV[12], ARGV[13]
local longest_hold = tonumber(ARGV[14])
local FIRST = 15
local asks = #ARGV < FIRST

local record = redis.call('HMGET', meta, 'state', 'in_turn', 'in_state', 'in_offset', 'in_key', 'in_past',
  'in_at', 'up_in', 'generation', 'in_stop', 'up_base', 'in_hold')
if not record[1] then return {'missing'} end
if generation ~= '' and record[9] ~= generation then return {'fenced', record[9] or '0'} end
if record[1] ~= 'open' then return {'ended'} end
local input = {turn = tonumber(record[2]) or 0, state = record[3] or 'ended', offset = tonumber(record[4]) or 0,
  key = record[5] or ''}
local past, sums = record[6] or '', record[8] or NOTHING
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The open turn's speaker is gone or overruled: close its input, so that its owner ends it.
local function cut()
  redis.call('XADD', up, '*', 'k', 'speech', 't', input.turn, 'o', input.offset, 'd', '', 'e', '1',
    'c', sums)
  redis.call('HSET', meta, 'in_state', 'cut')
  redis.call('SPUBLISH', up, '')
  input.state = 'cut'
end

local function is_after(id, other)
  local ms, number = string.match(id, '^(%d+)-(%d+)$')
  if not ms then return false end
  local other_ms, other_number = string.match(other, '^(%d+)-(%d+)$')
  if ms ~= other_ms then return tonumber(ms) > tonumber(other_ms) end
  return tonumber(number) > tonumber(other_number)
end

-- The key decides where both sides have one: after a fail-over another speaker's turn may have our number.
local function is_meant(its_turn, its_key)
  if key ~= '' and its_key ~= '' then return key == its_key end
  return turn > 0 and turn == its_turn
end

local function find()
  if is_meant(input.turn, input.key) then return input end
  for its_turn, state, its_offset, its_key in string.gmatch(past, '(%d+) (%a+) (%d+) (%S*)\n') do
    its_turn = tonumber(its_turn)
    if is_meant(its_turn, its_key) then
      return {turn = its_turn, state = state, offset = tonumber(its_offset), key = its_key}
    end
  end
end

-- Writes even when nothing changes, so that WAIT covers what another connection wrote before it broke.
local function is_in(meant)
  redis.call('HSET', meta, 'in_turn', input.turn)
  return {'in', meant.turn, meant.offset, meant.state, meant.key}
end

-- The open turn's speaker is silent and alive. The entry has no audio: it tells the owner.
local function hold()
  local alive = tonumber(record[7]) or now
  local held_offset, since = string.match(record[12] or '', '^(%d+) (%d+)$')
  if tonumber(held_offset) ~= input.offset then since = alive end
  if now - tonumber(since) > longest_hold then
    cut()
    return {'over', input.turn, input.offset, input.state}
  end
  -- Rarely enough, however often it is asked for.
  if now - alive < tonumber(ARGV[9]) / 8 then return is_in(input) end
  if room(meta, up, sums, record[11], limits, 1, 0) > 0 then
    redis.call('XADD', up, '*', 'k', 'speech', 't', input.turn, 'o', input.offset, 'd', '', 'c', sums)
    redis.call('SPUBLISH', up, '')
  end
  redis.call('HSET', meta, 'in_at', string.format('%.0f', now), 'in_hold',
    string.format('%d %.0f', input.offset, since))
  return is_in(input)
end

if input.state == 'open' and now - (tonumber(record[7]) or now) > tonumber(ARGV[9]) then cut() end

local after = offset
for i = FIRST, #ARGV do after = after + #ARGV[i] end

local meant = find()
if longest_hold and meant == input and input.state == 'open' then return hold() end
if meant then
  if asks then return is_in(meant) end
  if meant.state == 'cut' or (last and after < meant.offset) or (meant.state == 'ended' and after > meant.offset) then
    return {'over', meant.turn, meant.offset, meant.state}
  end
  if offset > meant.offset then return {'behind', meant.turn, meant.offset} end
  if meant.state == 'ended' or (after <= meant.offset and not last) then return is_in(meant) end
else
  if asks then return {'unknown'} end
  if turn > 0 and turn <= input.turn then return {'over', turn, 0, 'cut'} end
  if offset > 0 then return {'behind', turn, 0} end
  if generation ~= '' and record[10] and is_after(record[10], heard) then return {'over', turn, 0, 'cut'} end
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
local entries, bytes = room(meta, up, sums, record[11], limits, #ARGV - first + 1, after - math.max(at, from))
if entries < 1 or #data > bytes then
  -- A speaker whose audio waits for room is not silent.
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
  -- A turn whose opening the store has lost opens again under its number: those before it are over.
  meant = {turn = math.max(input.turn + 1, turn), offset = 0, key = key}
  redis.call('HSET', meta, 'in_past', past, 'in_key', key)
  if key ~= '' then field('key', key) end
  if barges and input.turn > 0 then redis.call('HSET', meta, 'in_stopped', input.turn, 'in_stop_reason', 'barge_in') end
  if barges then field('b', '1') end
  if ARGV[6] ~= '' then field('traceparent', ARGV[6]) end
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
