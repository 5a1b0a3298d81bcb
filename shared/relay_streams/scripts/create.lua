-- Create a conversation and queue it for an owner.
--
-- KEYS  1 meta     hash
--       2 unowned  stream
--       3 made     set of its creator's conversations
--       4 outbox, 5 outbox_discarded: only with an event
-- ARGV  1 id       2 data of the event that it started   3 most entries of the outbox
--       4... fields and values of the record
-- Returns 1, or 0 when the id exists.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
if KEYS[4] then check_outbox(KEYS[4], KEYS[5]) end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
redis.call('SADD', KEYS[3], ARGV[1])
redis.call('XADD', KEYS[2], '*', 'c', ARGV[1])
-- Its existence means that the conversation is created.
redis.call('HSET', KEYS[1], 'leased', now, 'seen', now, unpack(ARGV, 4))
if KEYS[4] then
  local started = {ARGV[1] .. '.0-0', 'conversation.started', ARGV[2], '', true}
  append_events(KEYS[4], KEYS[5], KEYS[1], ARGV[1], ARGV[3], {started})
end
redis.call('SPUBLISH', KEYS[2], '')
return 1
