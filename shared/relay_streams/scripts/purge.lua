-- Delete keys of another type than the relay's. Their content is lost, as after any other deletion.
--
-- KEYS  1... keys
-- ARGV  1... per key its type: stream, hash, zset, set or string
-- Returns the number of keys deleted.
-- Commands that read show the type, so that no user needs a permission for TYPE.
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
