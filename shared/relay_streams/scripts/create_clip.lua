-- Create a clip that waits to be rendered.
--
-- KEYS  1 record  hash    2 audio  string   3 index of its API key  hash   4 due  zset
--       5 outbox  stream  6 outbox_discarded  string
-- ARGV  1 id   2 digest of the request   3 PCM   4 most entries of the outbox; 0: nothing is appended to it
--       5... fields and values of the record
-- Returns {'new'} | {'known', digest} when the id exists, unless it was removed: nothing is written.
local record, id, digest, pcm, most = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local state = redis.call('HGET', record, 'state')
if state == 'removed' then
  redis.call('DEL', record)
elseif state then
  return {'known', redis.call('HGET', record, 'digest') or ''}
end
if most > 0 then check_outbox(KEYS[5], KEYS[6]) end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SET', KEYS[2], pcm)
redis.call('HSET', KEYS[3], id, #pcm)
redis.call('ZADD', KEYS[4], now, id)
redis.call('HSET', record, 'digest', digest, 'created', now, 'state', 'queued', unpack(ARGV, 5))
if most > 0 then
  local event = {id .. '.' .. now .. '.requested', 'clip.requested', '{}', '', false}
  append_events(KEYS[5], KEYS[6], record, id, most, {event})
end
return {'new'}
