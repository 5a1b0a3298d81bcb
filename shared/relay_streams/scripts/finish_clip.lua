-- Finish an attempt to render a clip: it is ready, it has failed, or it is to be tried again.
--
-- KEYS  1 record  hash    2 audio  string   3 chunks  stream   4 index of its API key  hash   5 due  zset
--       6 outbox  stream  7 outbox_discarded  string
-- ARGV  1 id   2 token of the claim   3 state: ready, failed or queued   4 queued: ms until the next attempt
--       5 bytes that count for the API key   6 most entries of the outbox, or '' without one   7 API key id
--       8 data of the event   9... fields and values of the record
-- Returns 1, or 0 when the claim is another's, or the clip was cancelled: nothing is written.
local record, id, state = KEYS[1], ARGV[1], ARGV[3]
if redis.call('HGET', record, 'token') ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('HSET', record, 'state', state, 'token', '', 'claimed_until', 0, 'conversation', '', unpack(ARGV, 9))
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
local created = redis.call('HGET', record, 'created') or '0'
local order = redis.call('HINCRBY', record, 'events', 1)
append_event(KEYS[6], KEYS[7], ARGV[6], id .. '.' .. created .. '.' .. state, 'clip.' .. state, id, ARGV[7], ARGV[8],
  order)
return 1
