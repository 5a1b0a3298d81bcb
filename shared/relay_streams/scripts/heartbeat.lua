-- Use what the relay uses of a server: write a key, and publish what was written.
--
-- KEYS  1 heartbeat  hash, and the channel of that name
-- ARGV  1 value   2 ms to keep it   3 '1' to publish it   4... commands whose permission is checked
--
-- Returns {'ok', value, subscribers of the channel at this server} | {'denied', commands}.
-- The permissions are those of the user that runs the script; running it needs none for these commands.
local beat = KEYS[1]

local function is_allowed(command)
  local name, subcommand = string.match(command, '^(%S+) ?(%S*)$')
  local words = subcommand == '' and {name} or {name, subcommand}
  -- Redis 7 must not check a command with fewer arguments than it has, and accepts more; Redis 8 rejects either.
  for arguments = 6, 0, -1 do
    local call = {unpack(words)}
    for _ = 1, arguments do call[#call + 1] = beat end
    local known, allowed = pcall(redis.acl_check_cmd, unpack(call))
    if known then return allowed end
  end
  return false
end

if redis.acl_check_cmd then
  local denied = {}
  for i = 4, #ARGV do
    if not is_allowed(ARGV[i]) then denied[#denied + 1] = ARGV[i] end
  end
  if #denied > 0 then return {'denied', table.concat(denied, ', ')} end
end
redis.call('HSET', beat, 'beat', ARGV[1])
redis.call('PEXPIRE', beat, ARGV[2])
return {'ok', ARGV[1], ARGV[3] == '1' and redis.call('SPUBLISH', beat, ARGV[1]) or 0}
