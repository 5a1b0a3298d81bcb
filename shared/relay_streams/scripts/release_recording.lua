-- Return the claim of a recording.
--
-- KEYS  1 meta  2 down  3 recordings
-- ARGV  1 id    2 token of the claim   3 ms until a worker looks at it next; '' when the file is whole
--       4 ms for which the frames of an ended conversation stay then
--
-- Returns 1, or 0 when the claim is another's: nothing was written.
local meta, down, recordings = KEYS[1], KEYS[2], KEYS[3]
local record = redis.call('HMGET', meta, 'rec_token', 'state')
if record[1] ~= ARGV[2] then return 0 end
redis.call('HDEL', meta, 'rec_token', 'rec_until')
if ARGV[3] ~= '' then
  local time = redis.call('TIME')
  local due = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3]
  redis.call('ZADD', recordings, string.format('%.0f', due), ARGV[1])
  return 1
end
redis.call('HSET', meta, 'rec_state', 'finished')
redis.call('ZREM', recordings, ARGV[1])
local left_ms = redis.call('PTTL', down)
if record[2] == 'ended' and left_ms > tonumber(ARGV[4]) then redis.call('PEXPIRE', down, ARGV[4]) end
return 1
