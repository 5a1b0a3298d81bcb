-- Keep a turn open whose speaker sends no audio but is connected. KEYS and ARGV 1 to 4 as in turn_input.lua.
--
-- ARGV  5 ms for which it may be held after its last audio
--       6 most entries unread   7 most bytes unread
--
-- Returns {'in', turn, offset, state, key}, also for a turn that is not open
--       | {'over', turn, offset, state} when it was held for too long | {'unknown'}.
local longest = tonumber(ARGV[5])
local limits = {entries = tonumber(ARGV[6]), bytes = tonumber(ARGV[7])}

local found = find()
if not found then return {'unknown'} end
if found ~= input or input.state ~= 'open' then return state_of(found) end

local held_offset, since = string.match(record[12] or '', '^(%d+) (%d+)$')
if tonumber(held_offset) ~= input.offset then since = active_at end
if now - tonumber(since) > longest then
  cut()
  return {'over', input.turn, input.offset, input.state}
end
-- Bounds how often it writes, however often it is called.
if now - active_at < silence / 8 then return state_of(input) end
-- An entry without audio resets the owner's timeout.
if capacity(meta, up, sums, base, limits, 1, 0) > 0 then
  redis.call('XADD', up, '*', 'k', 'speech', 't', input.turn, 'o', input.offset, 'd', '', 'c', sums)
  redis.call('SPUBLISH', up, '')
end
redis.call('HSET', meta, 'in_at', string.format('%.0f', now), 'in_hold',
  string.format('%d %.0f', input.offset, since))
return state_of(input)
