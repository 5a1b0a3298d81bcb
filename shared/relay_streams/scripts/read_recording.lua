-- Read frames after a position, up to a number of bytes and at least one.
--
-- KEYS  1 meta  2 down
-- ARGV  1 the position   2 most bytes
--
-- Returns {bytes that were removed so far before they were copied, id of the last entry read, frame...}.
-- Both at one moment: so the worker that copies them can compute which of its frames are removed meanwhile.
local down, cursor, bytes = KEYS[2], ARGV[1], 0
local found = {tonumber(redis.call('HGET', KEYS[1], 'rec_removed') or '0') or 0, cursor}
while bytes < tonumber(ARGV[2]) do
  local entries = redis.call('XRANGE', down, '(' .. cursor, '+', 'COUNT', 16)
  for _, entry in ipairs(entries) do
    if bytes >= tonumber(ARGV[2]) then break end
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'f' then
        found[#found + 1] = entry[2][i + 1]
        bytes = bytes + #entry[2][i + 1]
      end
    end
    cursor = entry[1]
    found[2] = cursor
  end
  if #entries < 16 then break end
end
return found
