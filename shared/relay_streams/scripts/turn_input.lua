-- The input of turns, as the record has it. The second part of the scripts that find a turn, hold it or append to it.
--
-- KEYS  1 meta  2 up
-- ARGV  1 turn, or 0 when the caller does not know it
--       2 idempotency key of the turn, so that repeating its opening opens no second turn; '' for none
--       3 ms of silence after which an open turn is cut
--       4 for an agent: the generation of its owner; else ''
--
-- Returns {'missing'} | {'fenced', generation} | {'ended'} for the whole script.
--
-- Input fields of the record; restore.lua moves them forward:
--   in_turn, in_offset   the turn opened last, and the bytes of it that are appended
--   in_state             open, ended (complete) or cut (interrupted, barged into, silent for too long)
--   in_key, in_at        its key, and the time of its last chunk, appended or refused for capacity, in ms
--   in_trace             its trace context, as ARGV of append_speech.lua
--   in_hold              of a turn that is held: its bytes, and the start of its silence, in ms
--   in_past              the turns before it, seven at most: lines of turn, state, offset, key
--   up_in, up_base       sums of what was ever appended; see uplink_bounds.lua
local meta, up = KEYS[1], KEYS[2]
local turn, key, silence, generation = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4]

local record = redis.call('HMGET', meta, 'state', 'in_turn', 'in_state', 'in_offset', 'in_key', 'in_past',
  'in_at', 'up_in', 'generation', 'in_stop', 'up_base', 'in_hold')
if not record[1] then return {'missing'} end
if generation ~= '' and record[9] ~= generation then return {'fenced', record[9] or '0'} end
if record[1] ~= 'open' then return {'ended'} end
local input = {turn = tonumber(record[2]) or 0, state = record[3] or 'ended', offset = tonumber(record[4]) or 0,
  key = record[5] or ''}
local past, sums, base = record[6] or '', record[8] or NOTHING, record[11]
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local active_at = tonumber(record[7]) or now

-- End the input of the open turn, whose speaker is silent or barged into, so that its owner ends the turn.
local function cut()
  redis.call('XADD', up, '*', 'k', 'speech', 't', input.turn, 'o', input.offset, 'd', '', 'e', '1',
    'c', sums)
  redis.call('HSET', meta, 'in_state', 'cut')
  redis.call('SPUBLISH', up, '')
  input.state = 'cut'
end

-- The key decides if both sides have one: after a fail-over another speaker's turn may have our number.
local function matches(its_turn, its_key)
  if key ~= '' and its_key ~= '' then return key == its_key end
  return turn > 0 and turn == its_turn
end

-- The caller's turn, of the last eight; nil for none.
local function find()
  if matches(input.turn, input.key) then return input end
  for its_turn, state, its_offset, its_key in string.gmatch(past, '(%d+) (%a+) (%d+) (%S*)\n') do
    its_turn = tonumber(its_turn)
    if matches(its_turn, its_key) then
      return {turn = its_turn, state = state, offset = tonumber(its_offset), key = its_key}
    end
  end
end

-- The reply for a turn. Writes although nothing changes, so that a WAIT covers what another connection wrote before it
-- broke.
local function state_of(found)
  redis.call('HSET', meta, 'in_turn', input.turn)
  return {'in', found.turn, found.offset, found.state, found.key}
end

if input.state == 'open' and now - active_at > silence then cut() end

