-- Keep a turn open whose speaker is silent and alive. KEYS and ARGV 1 to 4 as in turn_input.lua.
--
-- ARGV  5 ms for which it may be held after its last audio
--       6 most entries waiting   7 most bytes waiting
--
-- Returns {'in', turn, offset, state, key}, also of a turn that is not open
--       | {'over', turn, offset, state} when it was held for too long | {'unknown'}.
local longest = tonumber(ARGV[5])
local limits = {entries = tonumber(ARGV[6]), bytes = tonumber(ARGV[7])}

local meant = find()
if not meant then return {'unknown'} end
if meant ~= input or input.state ~= 'open' then return is_in(meant) end

local held_offset, since = string.match(record[12] or '', '^(%d+) (%d+)$')
if tonumber(held_offset) ~= input.offset then since = alive end
if now - tonumber(since) > longest then
  cut()
  return {'over', input.turn, input.offset, input.state}
end
-- Rarely enough, however often it is called.
if now - alive < silence / 8 then return is_in(input) end
-- An entry without audio informs the owner.
if capacity(meta, up, sums, base, limits, 1, 0) > 0 then
  redis.call('XADD', up, '*', 'k', 'speech', 't', input.turn, 'o', input.offset, 'd', '', 'c', sums)
  redis.call('SPUBLISH', up, '')
end
redis.call('HSET', meta, 'in_at', string.format('%.0f', now), 'in_hold',
  string.format('%d %.0f', input.offset, since))
return is_in(input)
