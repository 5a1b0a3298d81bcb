-- Append an entry that is not speech.
--
-- KEYS  1 meta  2 up
-- ARGV  1 kind: interrupt, playback, text, mic, sample, close, or another
--       2 generation of the owner whose agent appends it, or ''
--       3 the least talk_over of the record at which it interrupts the avatar: requests or always; '' at none
--       4 most entries waiting   5 most bytes   6 most entries of viewers   7 most bytes of them
--       8... further fields and values; of an interrupt first t, whose value is set here
--
-- Returns {'ok', last turn opened} | {'full'} | {'ended'} | {'missing'} | {'fenced', generation}.
-- An interrupt is stamped with the last turn opened and cuts its input; a close ends input for good.
-- Both are always accepted, since what stops the avatar may not wait for capacity. Their number is bounded too: while
-- one is unread another is not appended, except an interrupt after an entry that is no report.
-- An entry that talks over the avatar has an interrupt put before it, one per turn.
--
-- Input fields of the record, besides those of turn_input.lua:
--   in_stop      the up entry of the last interrupt, or of the last speech without an agent that barged in
--   in_stopped   the last turn an interrupt or a barge-in cancelled: owners look at it when much speech waits
--   in_stop_reason   why
--   in_quiet     the value of up_in as long as only reports have come after the last interrupt
--   in_close     the up entry of the last close
local meta, up, kind, talks_over = KEYS[1], KEYS[2], ARGV[1], ARGV[3]
local FIRST = kind == 'interrupt' and 10 or 8
local record = redis.call('HMGET', meta, 'state', 'in_turn', 'up_in', 'in_state', 'in_stopped', 'talk_over',
  'generation', 'up_base', 'in_stop', 'in_quiet', 'in_close', 'up')
if not record[1] then return {'missing'} end
if ARGV[2] ~= '' and record[7] ~= ARGV[2] then return {'fenced', record[7] or '0'} end
if record[1] == 'ended' or (record[1] == 'closing' and kind ~= 'close') then return {'ended'} end
local in_turn, sums = record[2] or '0', record[3] or NOTHING

local function cut()
  if record[4] == 'open' then redis.call('HSET', meta, 'in_state', 'cut') end
end

local size = 0
for i = FIRST, #ARGV do size = size + #ARGV[i] end

local function append(name, ...)
  local id = redis.call('XADD', up, '*', 'k', name, 'c', sums, ...)
  sums = counted(sums, size, true)
  return id
end

local function interrupt(...)
  cut()
  local id = append('interrupt', 't', in_turn, ...)
  redis.call('HSET', meta, 'in_stop', id, 'in_stopped', in_turn, 'in_quiet', sums, 'up_in', sums,
    'in_stop_reason', select(2, ...))
end

-- An id that is none, in a damaged record, is nothing that waits.
local function is_waiting(id)
  if not id or not redis.pcall('XRANGE', up, id, id)[1] then return false end
  return record[12] == false or redis.pcall('XRANGE', up, '(' .. record[12], id, 'COUNT', 1)[1] ~= nil
end

local function interrupts()
  if talks_over == '' or tonumber(in_turn) <= (tonumber(record[5]) or 0) then return false end
  return record[6] == 'always' or record[6] == talks_over
end

if kind == 'interrupt' then
  if record[10] ~= sums or not is_waiting(record[9]) then interrupt(unpack(ARGV, FIRST)) end
elseif kind == 'close' then
  cut()
  if not is_waiting(record[11]) then
    local id = append('close', unpack(ARGV, FIRST))
    redis.call('HSET', meta, 'state', 'closing', 'in_close', id, 'up_in', sums)
  end
else
  local limits = {entries = tonumber(ARGV[4]), bytes = tonumber(ARGV[5]),
    viewer_entries = tonumber(ARGV[6]), viewer_bytes = tonumber(ARGV[7])}
  local entries, bytes = capacity(meta, up, sums, record[8], limits, 1, size)
  if entries < 1 or bytes < size then return {'full'} end
  if interrupts() then interrupt('r', 'viewer') end
  local quiet = kind == 'playback' and record[10] == sums
  append(kind, unpack(ARGV, FIRST))
  redis.call('HSET', meta, 'up_in', sums)
  if quiet then redis.call('HSET', meta, 'in_quiet', sums) end
end
redis.call('SPUBLISH', up, '')
return {'ok', tonumber(in_turn)}
