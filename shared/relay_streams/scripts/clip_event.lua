-- An entry of the outbox for a clip. The first part of the scripts that append one.
--
-- append_event(outbox, discarded, limit, event id, type, clip, API key id, data, order): order is '' for an internal
-- event. Without an outbox, '' as the limit, nothing is appended. At the bound the oldest entries go, and are counted.
local function append_event(outbox, discarded, limit, id, kind, clip, key, data, order)
  if limit == '' then return end
  local entry = {'XADD', outbox, '*', 'id', id, 'k', kind, 'c', clip, 'a', key, 'd', data}
  if order ~= '' then entry[#entry + 1] = 'n'; entry[#entry + 1] = order end
  redis.call(unpack(entry))
  local excess = redis.call('XLEN', outbox) - tonumber(limit)
  if excess > 0 then
    redis.call('XTRIM', outbox, 'MAXLEN', '=', limit)
    redis.call('INCRBY', discarded, excess)
  end
end

