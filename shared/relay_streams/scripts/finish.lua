-- End a conversation whose owner has published the last frame.
--
-- KEYS  1 meta  2 lease  3 leases  4 down  5 up  6 made
-- ARGV  1 id    2 lease value  3 ms to keep the frames  4 ms to keep the record
--       5... fields of the record to replace, with their values
-- Returns 1, or 0 when the lease has another value. The record outlives the frames: it keeps the generation, so that a
-- late writer stays fenced.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return 0 end
redis.call('ZREM', KEYS[3], ARGV[1])
redis.call('SREM', KEYS[6], ARGV[1])
if ARGV[5] then redis.call('HSET', KEYS[1], unpack(ARGV, 5)) end
redis.call('HSET', KEYS[1], 'state', 'ended')
redis.call('PEXPIRE', KEYS[4], ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('DEL', KEYS[2], KEYS[5]) -- last: without the lease the script cannot be repeated
return 1
