-- Remove conversations that have ended, or have no record, from the index of their creator.
--
-- KEYS  1 made  2... per conversation its meta
-- ARGV  1... per conversation its id
-- Returns the number removed.
local removed = 0
for i = 2, #KEYS do
  local state = redis.call('HGET', KEYS[i], 'state')
  if not state or state == 'ended' then removed = removed + redis.call('SREM', KEYS[1], ARGV[i - 1]) end
end
return removed
