-- Cancel a clip that is not rendered yet, or remove one.
--
-- KEYS  1 record  hash   2 audio  string   3 chunks  stream   4 index of its API key  hash   5 due  zset
-- ARGV  1 id
-- Returns {'cancelled'} when it was to be rendered | {'removed'} | {'missing'}.
-- A cancelled clip has no token any more, so that whoever renders it stops at its next write. Of a removed clip that has
-- a copy, the record stays, in the state removed, until a worker has removed the copy: else it would be restored.
local record, id = KEYS[1], ARGV[1]
local found = redis.call('HMGET', record, 'state', 'copy')
local state = found[1]
if state == 'removed' then return {'missing'} end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('ZREM', KEYS[5], id)
if state == 'queued' or state == 'rendering' then
  redis.call('HSET', record, 'state', 'cancelled', 'token', '', 'claimed_until', 0)
  redis.call('HSET', KEYS[4], id, 0)
  return {'cancelled'}
end
redis.call('HDEL', KEYS[4], id)
if found[2] and found[2] ~= '' then
  redis.call('HSET', record, 'state', 'removed')
  redis.call('ZADD', KEYS[5], 0, id)
else
  redis.call('DEL', record)
end
return {state and 'removed' or 'missing'}
