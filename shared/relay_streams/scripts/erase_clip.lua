-- Remove the record of a removed clip, whose copy is removed.
--
-- KEYS  1 record  hash   2 due  zset
-- ARGV  1 id
-- Returns 1, or 0 when the clip is no removed one: it was created again.
if redis.call('HGET', KEYS[1], 'state') ~= 'removed' then return 0 end
redis.call('DEL', KEYS[1])
redis.call('ZREM', KEYS[2], ARGV[1])
return 1
