-- Append frames of a recording to the conversation of its replay, under their own positions.
--
-- KEYS  1 meta  2 down  3 lease  4 up
-- ARGV  1 lease value   2 ms until the keys expire, anew   3 trim frames before this position, or ''
--       4 number of the next arguments: fields and values of the record   5... these
--       then position and frame, alternating
-- Returns 1, or 0 when the lease has another value: nothing was written.
local meta, down, lease, up = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
if redis.call('GET', lease) ~= ARGV[1] then return 0 end
local first = 5 + ARGV[4]
for i = first, #ARGV, 2 do redis.call('XADD', down, ARGV[i], 'f', ARGV[i + 1]) end
if first > 5 then redis.call('HSET', meta, unpack(ARGV, 5, first - 1)) end
if ARGV[3] ~= '' then redis.call('XTRIM', down, 'MINID', '=', ARGV[3]) end
-- Viewers may have written to the uplink, which nobody reads.
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ARGV[2]) end
if first <= #ARGV then redis.call('SPUBLISH', down, '') end
return 1
