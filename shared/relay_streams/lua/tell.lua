-- Tell the owner something that is not speech.
--
-- KEYS  1 meta  2 up
-- ARGV  1 kind: interrupt, playback, text, mic, sample or close   2 most entries waiting
--       3... further fields and values
--
-- Returns {'ok', last turn opened} | {'full'} | {'ended'} | {'missing'}.
-- An interrupt is stamped with the last turn opened and cuts its input; a close ends input for good.
-- Both are always taken: what stops the avatar may not wait for room.
local meta, up, kind = KEYS[1], KEYS[2], ARGV[1]
local record = redis.call('HMGET', meta, 'state', 'in_turn', 'up_in', 'in_state')
if not record[1] then return {'missing'} end
if record[1] == 'ended' or (record[1] == 'closing' and kind ~= 'close') then return {'ended'} end
local in_turn = record[2] or '0'

local entry = {'XADD', up, '*', 'k', kind, 'c', record[3] or '0'}
if kind == 'interrupt' or kind == 'close' then
  if record[4] == 'open' then redis.call('HSET', meta, 'in_state', 'cut') end
  if kind == 'interrupt' then
    entry[#entry + 1] = 't'; entry[#entry + 1] = in_turn
  else
    redis.call('HSET', meta, 'state', 'closing')
  end
elseif redis.call('XLEN', up) >= tonumber(ARGV[2]) then
  return {'full'}
end
for i = 3, #ARGV do entry[#entry + 1] = ARGV[i] end
redis.call(unpack(entry))
redis.call('SPUBLISH', up, '')
return {'ok', tonumber(in_turn)}
