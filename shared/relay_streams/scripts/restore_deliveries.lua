-- Restore deliveries that Redis has lost from their index: one that is pending is due again, a dead letter is listed
-- again.
--
-- KEYS  1 webhooks_due  2 webhooks_dead  3... per delivery its webhook
-- ARGV  1... per delivery its id
-- Returns the number restored. Fields as in begin_delivery.lua: they have the due time and the claim, too.
local due, dead, restored = KEYS[1], KEYS[2], 0
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 3, #KEYS do
  local found = redis.call('HMGET', KEYS[i], 'facts', 'body', 'state', 'due', 'claimed', 'ended')
  local index, at = nil, 0
  if found[1] and found[2] then
    local state = found[3] or ''
    if state == '' then
      index, at = due, math.max(now, tonumber(found[4]) or 0, tonumber(found[5]) or 0)
    elseif state == 'dead' then
      index, at = dead, tonumber(found[6]) or now
    end
  end
  if index then
    restored = restored + redis.call('ZADD', index, 'NX', string.format('%.0f', at), ARGV[i - 2])
  end
end
return restored
