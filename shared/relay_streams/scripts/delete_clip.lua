-- Cancel a clip that is not rendered yet, or remove one.
--
-- KEYS  1 record  hash   2 audio  string   3 chunks  stream   4 index of its API key  hash   5 due  zset
-- ARGV  1 id
-- Returns {'cancelled'} when it was to be rendered | {'removed'} | {'missing'}.
-- A cancelled clip has no token any more, so that whoever renders it stops at its next write.
local record, id = KEYS[1], ARGV[1]
local state = redis.call('HGET', record, 'state')
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('ZREM', KEYS[5], id)
if state == 'queued' or state == 'rendering' then
  redis.call('HSET', record, 'state', 'cancelled', 'token', '', 'claimed_until', 0)
  redis.call('HSET', KEYS[4], id, 0)
  return {'cancelled'}
end
redis.call('HDEL', KEYS[4], id)
redis.call('DEL', record)
return {state and 'removed' or 'missing'}
