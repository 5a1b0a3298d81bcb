-- Store chunks of a rendered clip.
--
-- KEYS  1 record  hash   2 chunks  stream
-- ARGV  1 token of the claim   2 number of the first chunk, from 1   3... per chunk: PCM, motion as field m of the uplink
-- Returns 1, or 0 when the claim is another's, or the clip was cancelled: nothing is written.
-- The first chunk removes those of an attempt before.
local chunks, number = KEYS[2], tonumber(ARGV[2])
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then return 0 end
if number == 1 then redis.call('DEL', chunks) end
for i = 3, #ARGV, 2 do
  redis.call('XADD', chunks, '0-' .. string.format('%d', number), 'd', ARGV[i], 'm', ARGV[i + 1])
  number = number + 1
end
return 1
