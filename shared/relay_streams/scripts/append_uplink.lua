-- Append an entry that is not speech.
--
-- KEYS  1 meta  2 up
-- ARGV  1 kind: interrupt, playback, text, mic, sample, close, or another
--       2 for an agent: the generation of its owner; else ''
--       3 the lowest talk_over of the record at which the entry interrupts the avatar: requests or always; else ''
--       4 most entries unread   5 most bytes   6 most unread entries of viewers   7 most bytes of them
--       8... further fields and values; of an interrupt first t, whose value is set here
--
-- Returns {'ok', last turn opened, whether the agent accepts the kind: 1, 0, or -1 while that is not known}
--       | {'full'} | {'ended'} | {'missing'} | {'fenced', generation}.
-- An interrupt gets the number of the last turn opened and cuts its input; a close ends input for good.
-- Both are accepted without regard to capacity, since stopping the avatar must not wait. Their number is bounded all
-- the same: while one is unread, another is not appended, except an interrupt after an entry that is not a report.
-- An entry that interrupts the avatar has an interrupt appended before it, one for each turn. One that the agent does
-- not accept interrupts nothing, since no answer would follow; with push the answer is the backend's.
--
-- Input fields of the record, besides those of turn_input.lua:
--   in_stop      the uplink entry of the last interrupt, or of the last barge-in that was not an agent's
--   in_stopped   the last turn that an interrupt or a barge-in cancelled: owners read it while speech is unread
--   in_stop_reason   the reason
--   in_quiet     the value of up_in while only reports follow the last interrupt
--   in_close     the uplink entry of the last close
local meta, up, kind, threshold = KEYS[1], KEYS[2], ARGV[1], ARGV[3]
local FIRST = kind == 'interrupt' and 10 or 8
local record = redis.call('HMGET', meta, 'state', 'in_turn', 'up_in', 'in_state', 'in_stopped', 'talk_over',
  'generation', 'up_base', 'in_stop', 'in_quiet', 'in_close', 'up', 'accepts', 'agent')
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

-- Whether an entry is unread; false for a value that is not an entry id, in a damaged record.
local function is_unread(id)
  if not id or not redis.pcall('XRANGE', up, id, id)[1] then return false end
  return record[12] == false or redis.pcall('XRANGE', up, '(' .. record[12], id, 'COUNT', 1)[1] ~= nil
end

local accepted = -1
if record[13] and record[13] ~= '' then
  accepted = string.find(' ' .. record[13] .. ' ', ' ' .. kind .. ' ', 1, true) and 1 or 0
end

local function interrupts()
  if threshold == '' or tonumber(in_turn) <= (tonumber(record[5]) or 0) then return false end
  if accepted == 0 and record[14] ~= 'push' then return false end
  return record[6] == 'always' or record[6] == threshold
end

if kind == 'interrupt' then
  if record[10] ~= sums or not is_unread(record[9]) then interrupt(unpack(ARGV, FIRST)) end
elseif kind == 'close' then
  cut()
  if not is_unread(record[11]) then
    local id = append('close', unpack(ARGV, FIRST))
    redis.call('HSET', meta, 'state', 'closing', 'in_close', id, 'up_in', sums)
  end
else
  local limits = {entries = tonumber(ARGV[4]), bytes = tonumber(ARGV[5]),
    viewer_entries = tonumber(ARGV[6]), viewer_bytes = tonumber(ARGV[7])}
  local entries, bytes = capacity(meta, up, sums, record[8], limits, 1, size)
  if entries < 1 or bytes < size then return {'full'} end
  if interrupts() then interrupt('r', 'viewer') end
  local stays_quiet = kind == 'playback' and record[10] == sums
  append(kind, unpack(ARGV, FIRST))
  redis.call('HSET', meta, 'up_in', sums)
  if stays_quiet then redis.call('HSET', meta, 'in_quiet', sums) end
end
redis.call('SPUBLISH', up, '')
return {'ok', tonumber(in_turn), accepted}
