-- Finish an attempt to render a clip: it is ready, it has failed, or it is to be tried again.
--
-- KEYS  1 record  hash    2 audio  string   3 chunks  stream   4 index of its API key  hash   5 due  zset
--       6 outbox  stream  7 outbox_discarded  string
-- ARGV  1 id   2 token of the claim   3 state: ready, failed or queued   4 queued: ms until the next attempt
--       5 bytes that count for the API key   6 most entries of the outbox; 0: nothing is appended to it
--       7 data of the event   8... fields and values of the record
-- Returns 1, or 0 when the claim is another's, or the clip was cancelled: nothing is written.
local record, id, state, most = KEYS[1], ARGV[1], ARGV[3], tonumber(ARGV[6])
if redis.call('HGET', record, 'token') ~= ARGV[2] then return 0 end
if most > 0 then check_outbox(KEYS[6], KEYS[7]) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', record, 'state', state, 'token', '', 'claimed_until', 0, 'conversation', '', unpack(ARGV, 8))
if state == 'queued' then
  local due_ms = string.format('%.0f', now + tonumber(ARGV[4]))
  redis.call('HSET', record, 'claimed_until', due_ms)
  redis.call('ZADD', KEYS[5], due_ms, id)
  return 1
end
redis.call('DEL', KEYS[2])
if state == 'failed' then redis.call('DEL', KEYS[3]) end
redis.call('HSET', KEYS[4], id, ARGV[5])
redis.call('ZREM', KEYS[5], id)
if most > 0 then
  local created = redis.call('HGET', record, 'created') or '0'
  local event = {id .. '.' .. created .. '.' .. state, 'clip.' .. state, ARGV[7], '', true}
  append_events(KEYS[6], KEYS[7], record, id, most, {event})
end
return 1
