-- Remove keys of another type than the relay gives them: what they held is lost, as if they had been deleted.
--
-- KEYS  1... keys
-- ARGV  1... per key its type: stream, hash, zset, set or string
-- Returns how many were removed.
-- Commands that read tell the type, so that nobody needs a permission for TYPE.
local PROBES = {
  stream = {'XLEN'}, hash = {'HMGET', ''}, zset = {'ZSCORE', ''}, set = {'SCARD'}, string = {'GET'},
}
local removed = 0
for i, key in ipairs(KEYS) do
  local probe = PROBES[ARGV[i]]
  local found = redis.pcall(probe[1], key, unpack(probe, 2))
  if type(found) == 'table' and found.err and string.find(found.err, 'WRONGTYPE', 1, true) then
    removed = removed + redis.call('DEL', key)
  end
end
return removed
