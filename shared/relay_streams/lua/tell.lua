-- Tell the owner something that is not speech.
--
-- KEYS  1 meta  2 up
-- ARGV  1 kind: interrupt, playback, text, mic, sample or close   2 most entries waiting
--       3 generation of the owner whose agent says it, or ''   4... further fields and values
--
-- Returns {'ok', last turn opened} | {'full'} | {'ended'} | {'missing'} | {'fenced', generation}.
-- An interrupt is stamped with the last turn opened and cuts its input; a close ends input for good.
-- Both are always taken: what stops the avatar may not wait for room.
-- What talks over the avatar, by the record's talk_over, has an interrupt put before it, one per turn.
--
-- Input fields of the record, besides those of speak.lua:
--   in_stop      the up entry of the last interrupt, or of the last speech of a door that barged in
--   in_stopped   the last turn an interrupt cancelled
local meta, up, kind = KEYS[1], KEYS[2], ARGV[1]
local record = redis.call('HMGET', meta, 'state', 'in_turn', 'up_in', 'in_state', 'in_stopped', 'talk_over',
  'generation')
if not record[1] then return {'missing'} end
if ARGV[3] ~= '' and record[7] ~= ARGV[3] then return {'fenced', record[7] or '0'} end
if record[1] == 'ended' or (record[1] == 'closing' and kind ~= 'close') then return {'ended'} end
local in_turn, up_in = record[2] or '0', record[3] or '0'

local function cut()
  if record[4] == 'open' then redis.call('HSET', meta, 'in_state', 'cut') end
end

local function interrupt(...)
  cut()
  local id = redis.call('XADD', up, '*', 'k', 'interrupt', 'c', up_in, 't', in_turn, ...)
  redis.call('HSET', meta, 'in_stop', id, 'in_stopped', in_turn)
end

local function talks_over()
  if tonumber(in_turn) <= (tonumber(record[5]) or 0) then return false end
  if kind == 'mic' then return record[6] == 'always' and ARGV[5] ~= '' end
  return (kind == 'text' or kind == 'sample') and (record[6] == 'requests' or record[6] == 'always')
end

if kind == 'interrupt' then
  interrupt(unpack(ARGV, 4))
else
  if kind == 'close' then
    cut()
    redis.call('HSET', meta, 'state', 'closing')
  elseif redis.call('XLEN', up) >= tonumber(ARGV[2]) then
    return {'full'}
  end
  if talks_over() then interrupt('r', 'viewer') end
  redis.call('XADD', up, '*', 'k', kind, 'c', up_in, unpack(ARGV, 4))
end
redis.call('SPUBLISH', up, '')
return {'ok', tonumber(in_turn)}
