-- Return a conversation to the queue, for another owner at once.
--
-- KEYS  1 lease  2 leases  3 unowned
-- ARGV  1 id     2 lease value
-- Returns 1, or 0 when the lease has another value.
if redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
redis.call('XADD', KEYS[3], '*', 'c', ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('DEL', KEYS[1])
redis.call('SPUBLISH', KEYS[3], '')
return 1
