-- Request the end of a conversation that is idle for longer than it may be.
--
-- KEYS  1 meta  2 up
-- ARGV  1 most ms idle   2 reason
-- Returns 1, or 0 when it is not idle, has ended, or its end was requested before.
-- Field of the record: in_close, as append_uplink.lua has it.
local meta, up = KEYS[1], KEYS[2]
local record = record_of(meta)
if record.state ~= 'open' or idle_ms(wall_ms(), record, up) < tonumber(ARGV[1]) then return 0 end
local input = redis.call('HMGET', meta, 'up_in', 'in_state')
local sums = input[1] or NOTHING
if input[2] == 'open' then redis.call('HSET', meta, 'in_state', 'cut') end
local id = redis.call('XADD', up, '*', 'k', 'close', 'c', sums, 'r', ARGV[2])
redis.call('HSET', meta, 'state', 'closing', 'in_close', id, 'up_in', counted(sums, #'r' + #ARGV[2], false))
redis.call('SPUBLISH', up, '')
return 1
