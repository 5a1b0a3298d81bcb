-- Record that the agent of a conversation has stopped: it accepts no message of viewers until another owner claims it.
--
-- KEYS  1 meta
-- ARGV  1 generation of the owner
-- Returns 1, or 0 when another owner has taken over, or the record is gone.
if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'accepts', '-')
return 1
