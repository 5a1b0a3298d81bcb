-- Append to the outbox that a Motion session of a conversation was opened or closed: once, however often it is called.
--
-- KEYS  1 meta          2 outbox       3 outbox_discarded
-- ARGV  1 'opened' or 'closed'         2 conversation   3 generation of the owner   4 session
--       5 when it was opened, in ms since the epoch     6 data                      7 most entries of the outbox
-- Returns {'ok', 1}, or {'ok', 0} when nothing is appended | {'missing'}.
--
-- Field of the record: motion, '<when it was opened> <session>' of the session opened last, with 0 once it is closed.
-- An owner that was replaced opens nothing, and closes a session only until the next owner has.
local meta = KEYS[1]
local record = redis.call('HMGET', meta, 'state', 'generation', 'motion')
if not record[1] then return {'missing'} end
check_outbox(KEYS[2], KEYS[3])

local opened_ms, session = string.match(record[3] or '', '^(%d+) (.*)$')
if ARGV[1] == 'opened' then
  if session == ARGV[4] or record[2] ~= ARGV[3] then return {'ok', 0} end
  redis.call('HSET', meta, 'motion', ARGV[5] .. ' ' .. ARGV[4])
else
  if session and (session ~= ARGV[4] or opened_ms == '0') then return {'ok', 0} end
  redis.call('HSET', meta, 'motion', '0 ' .. ARGV[4])
end
local kind = 'motion.' .. ARGV[1]
local id = table.concat({ARGV[2], ARGV[3], kind, ARGV[4]}, '.')
append_events(KEYS[2], KEYS[3], meta, ARGV[2], ARGV[7], {{id, kind, ARGV[6], '', false}})
return {'ok', 1}
