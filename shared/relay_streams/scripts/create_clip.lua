-- Create a clip that waits to be rendered.
--
-- KEYS  1 record  hash    2 audio  string   3 index of its API key  hash   4 due  zset
--       5 outbox  stream  6 outbox_discarded  string
-- ARGV  1 id   2 digest of the request   3 PCM   4 most entries of the outbox, or '' without one   5 API key id
--       6... fields and values of the record
-- Returns {'new'} | {'known', digest} when the id exists: nothing is written.
local record, id, digest, pcm = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if redis.call('EXISTS', record) == 1 then
  return {'known', redis.call('HGET', record, 'digest') or ''}
end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SET', KEYS[2], pcm)
redis.call('HSET', KEYS[3], id, #pcm)
redis.call('ZADD', KEYS[4], now, id)
redis.call('HSET', record, 'digest', digest, 'created', now, 'state', 'queued', unpack(ARGV, 6))
append_event(KEYS[5], KEYS[6], ARGV[4], id .. '.' .. now .. '.requested', 'clip.requested', id, ARGV[5], '{}', '')
return {'new'}
