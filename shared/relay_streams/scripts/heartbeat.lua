-- Do a little of everything the relay does here: write, and publish what was written.
--
-- KEYS  1 heartbeat  hash, and the channel of that name
-- ARGV  1 what to write   2 ms to keep it   3 '1' to publish it   4... commands to look up the permission for
--
-- Returns {'ok', what was written, subscribers of the channel at this server} | {'denied', commands}.
-- The permissions are those of the caller, who is asked for none of these commands here.
local beat = KEYS[1]

local function is_allowed(command)
  local name, subcommand = string.match(command, '^(%S+) ?(%S*)$')
  local words = subcommand == '' and {name} or {name, subcommand}
  -- A command of fixed length must not be looked up with fewer words than it has; more do no harm.
  for _ = 1, 6 do words[#words + 1] = beat end
  local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  return known and allowed
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
