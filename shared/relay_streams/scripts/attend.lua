-- Read whether a conversation has an owner and viewers, and record that viewers watch it.
--
-- KEYS  1 meta  2 lease
--       3 outbox, 4 outbox_discarded: only with time of viewers
-- ARGV  1 '1' if viewers watch it at the caller
--       2 ms for which viewers have watched it at the caller, summed over them   3 conversation
--       4 most entries of the outbox
-- Returns {'ok', ms without an owner, or -1 with one, ms since viewers watched} | {'missing'}.
--
-- Fields of the record:
--   leased   the time up to which it had an owner at least, in ms since the epoch
--   seen     the time at which viewers watched it last, or of its creation
--   viewer_ms   the sum of all such time
-- What viewers of a conversation have watched since it ended, no other event can report.
local meta, lease = KEYS[1], KEYS[2]
local record = redis.call('HMGET', meta, 'state', 'leased', 'seen')
if not record[1] then return {'missing'} end
if KEYS[3] then
  check_outbox(KEYS[3], KEYS[4])
  local total = redis.pcall('HINCRBY', meta, 'viewer_ms', ARGV[2])
  if type(total) == 'table' then
    total = tonumber(ARGV[2])
    redis.call('HSET', meta, 'viewer_ms', ARGV[2])
  end
  if record[1] == 'ended' then
    local generation = redis.call('HGET', meta, 'generation') or '0'
    local id = string.format('%s.%s.viewers.watched.%.0f', ARGV[3], generation, total)
    append_events(KEYS[3], KEYS[4], meta, ARGV[3], ARGV[4], {{id, 'viewers.watched', '{}', '', false}})
  end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function since(moment) return math.max(0, now - (tonumber(moment) or now)) end

if ARGV[1] == '1' or not record[3] then redis.call('HSET', meta, 'seen', string.format('%.0f', now)) end
local unowned_ms = -1
if redis.call('PTTL', lease) < 0 then unowned_ms = since(record[2]) end
return {'ok', unowned_ms, ARGV[1] == '1' and 0 or since(record[3])}
