-- Ask how far a turn's input is. KEYS and ARGV as in turn_input.lua.
--
-- Returns {'in', turn, offset, state, key} | {'unknown'} when it is none of the last eight.
local meant = find()
if not meant then return {'unknown'} end
return is_in(meant)
