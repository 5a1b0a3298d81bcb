-- Append to an outbox, for the scripts that begin with this text.
--
-- Fields of an entry: id, n (number among the conversation's public events; internal ones have none), k type,
-- c conversation, a API key id, d data, t trace, v ms for which the conversation was watched.
-- Fields of the record: events, the last number; viewer_ms.
--
-- An outbox that cannot be written holds up nothing: what is not appended is counted, as what the bound discards.

-- Fail before the first write if a key has another type.
local function check_outbox(outbox, discarded)
  redis.call('XLEN', outbox)
  redis.call('GET', discarded)
end

-- events: list of {id, type, data, trace or '', whether it is public}.
local function append_events(outbox, discarded, meta, conversation, most, events)
  local record = redis.call('HMGET', meta, 'creator', 'viewer_ms')
  local creator, viewer_ms = record[1] or '', tonumber(record[2]) or 0
  local lost = 0
  for _, event in ipairs(events) do
    local entry = {'XADD', outbox, '*', 'id', event[1], 'k', event[2], 'c', conversation, 'd', event[3]}
    local function add(name, value) entry[#entry + 1], entry[#entry + 2] = name, value end
    if event[5] then
      local number = redis.pcall('HINCRBY', meta, 'events', 1)
      if type(number) == 'table' then
        number = 1
        redis.call('HSET', meta, 'events', number)
      end
      add('n', string.format('%.0f', number))
    end
    if creator ~= '' then add('a', creator) end
    if event[4] ~= '' then add('t', event[4]) end
    if viewer_ms > 0 then add('v', string.format('%.0f', viewer_ms)) end
    local added = redis.pcall(unpack(entry))
    if type(added) == 'table' and added.err then lost = lost + 1 end
  end
  lost = lost + redis.call('XTRIM', outbox, 'MAXLEN', '=', most)
  if lost > 0 and type(redis.pcall('INCRBY', discarded, lost)) == 'table' then
    redis.call('SET', discarded, lost)
  end
end
