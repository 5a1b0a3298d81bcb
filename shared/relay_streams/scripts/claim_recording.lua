-- Claim a conversation's recording for one worker, for a time.
--
-- KEYS  1 meta  2 recordings
-- ARGV  1 id    2 token of the claim   3 ms of the claim
--
-- Returns {'ok', record...} | {'held'} by another claim | {'none'}: there is nothing to record
--       | {'gone'}: it was listed, and the conversation's record is gone; returned once.
-- A worker that dies leaves the recording due at the end of its claim.
--
-- Fields of the record, besides those of publish.lua:
--   record       '1': the conversation is recorded
--   rec_token    the claim        rec_until   its end, in ms since the epoch
--   rec_state    'finished' once the file is whole
local meta, recordings = KEYS[1], KEYS[2]
local record = redis.call('HMGET', meta, 'record', 'rec_state', 'rec_token', 'rec_until')
if record[1] ~= '1' or record[2] then
  local listed = redis.call('ZREM', recordings, ARGV[1])
  return {listed == 1 and redis.call('EXISTS', meta) == 0 and 'gone' or 'none'}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if record[3] and record[3] ~= ARGV[2] and (tonumber(record[4]) or 0) > now then return {'held'} end
local expiry = string.format('%.0f', now + ARGV[3])
redis.call('HSET', meta, 'rec_token', ARGV[2], 'rec_until', expiry)
redis.call('ZADD', recordings, expiry, ARGV[1])
return {'ok', unpack(redis.call('HGETALL', meta))}
