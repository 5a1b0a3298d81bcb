-- Note that frames are copied, and remove those that only the recording needed.
--
-- KEYS  1 meta  2 down  3 recordings
-- ARGV  1 id    2 token of the claim   3 ms of the claim, anew
--       4 position of the last frame that is copied
--       5 bytes of the copied frames that were in the stream when
--       6 this many bytes had been removed before they were copied
--
-- Returns 1, or 0 when the claim is another's: nothing was written.
local meta, down, recordings = KEYS[1], KEYS[2], KEYS[3]
local record = redis.call('HMGET', meta, 'rec_token', 'rec_removed', 'rec_waiting', 'rec_keep')
if record[1] ~= ARGV[2] then return 0 end

-- What was removed since it was read does not wait any more.
local removed = math.max(0, (tonumber(record[2]) or 0) - ARGV[6])
local copied = math.max(0, ARGV[5] - removed)
local waiting = math.max(0, (tonumber(record[3]) or 0) - copied)
local time = redis.call('TIME')
local expiry = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3])
redis.call('HSET', meta, 'rec_cursor', ARGV[4], 'rec_waiting', string.format('%.0f', waiting), 'rec_until', expiry)
redis.call('ZADD', recordings, expiry, ARGV[1])

local function parts(position)
  local generation, seq = string.match(position, '^(%d+)-(%d+)$')
  return tonumber(generation), tonumber(seq)
end
if record[4] then
  local keep, next_generation, next_seq = record[4], parts(ARGV[4])
  next_seq = next_seq + 1
  local keep_generation, keep_seq = parts(keep)
  if keep_generation > next_generation or (keep_generation == next_generation and keep_seq > next_seq) then
    keep = string.format('%.0f-%.0f', next_generation, next_seq)
  end
  redis.call('XTRIM', down, 'MINID', '=', keep)
end
return 1
