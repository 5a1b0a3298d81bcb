-- Read the state of a turn's input. KEYS and ARGV as in turn_input.lua.
--
-- Returns {'in', turn, offset, state, key} | {'unknown'} when the turn is not among the last eight.
local found = find()
if not found then return {'unknown'} end
return state_of(found)
