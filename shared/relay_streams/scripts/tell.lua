-- Tell the owner something that is not speech.
--
-- KEYS  1 meta  2 up
-- ARGV  1 kind: interrupt, playback, text, mic, sample or close
--       2 generation of the owner whose agent says it, or ''
--       3 most entries waiting   4 most bytes   5 most entries of viewers   6 most bytes of them
--       7... further fields and values; of an interrupt first t, whose value is set here
--
-- Returns {'ok', last turn opened} | {'full'} | {'ended'} | {'missing'} | {'fenced', generation}.
-- An interrupt is stamped with the last turn opened and cuts its input; a close ends input for good.
-- Both are always taken, since what stops the avatar may not wait for room. They need none without end either: one
-- that the owner has not read is not repeated, an interrupt unless something was said or asked since.
-- What talks over the avatar, by the record's talk_over, has an interrupt put before it, one per turn.
--
-- Input fields of the record, besides those of speak.lua:
--   in_stop      the up entry of the last interrupt, or of the last speech of a door that barged in
--   in_stopped   the last turn an interrupt or a barge-in cancelled: owners look at it when much speech waits
--   in_stop_reason   why
--   in_quiet     what up_in is as long as nothing but reports has come after the last interrupt
--   in_close     the up entry of the last close
local meta, up, kind = KEYS[1], KEYS[2], ARGV[1]
local FIRST = kind == 'interrupt' and 9 or 7
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

local function talks_over()
  if tonumber(in_turn) <= (tonumber(record[5]) or 0) then return false end
  if kind == 'mic' then return record[6] == 'always' and ARGV[FIRST + 1] ~= '' end
  return (kind == 'text' or kind == 'sample') and (record[6] == 'requests' or record[6] == 'always')
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
  local limits = {entries = tonumber(ARGV[3]), bytes = tonumber(ARGV[4]),
    viewer_entries = tonumber(ARGV[5]), viewer_bytes = tonumber(ARGV[6])}
  local entries, bytes = room(meta, up, sums, record[8], limits, 1, size)
  if entries < 1 or bytes < size then return {'full'} end
  if talks_over() then interrupt('r', 'viewer') end
  local quiet = kind == 'playback' and record[10] == sums
  append(kind, unpack(ARGV, FIRST))
  redis.call('HSET', meta, 'up_in', sums)
  if quiet then redis.call('HSET', meta, 'in_quiet', sums) end
end
redis.call('SPUBLISH', up, '')
return {'ok', tonumber(in_turn)}
