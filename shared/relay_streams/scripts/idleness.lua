-- For how long a conversation has had neither viewers nor traffic. The first part of the scripts that end what is idle.
local function wall_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function ms_of(id) return tonumber(string.match(id or '', '^(%d+)')) or 0 end

-- Field seen of the record has the last viewers, turn_ends_at_ms the end of what plays, and the last id of the up stream
-- the last traffic of backends, viewers and agents. Once the end was requested, the time since then counts.
local function idle_ms(now, record, up)
  if record.state == 'closing' and record.in_close then return math.max(0, now - ms_of(record.in_close)) end
  local last = math.max(ms_of(record.created), ms_of(record.seen), ms_of(record.turn_ends_at_ms))
  local info = redis.pcall('XINFO', 'STREAM', up)
  for i = 1, info.err and 0 or #info, 2 do
    if info[i] == 'last-generated-id' then last = math.max(last, ms_of(info[i + 1])) end
  end
  return math.max(0, now - last)
end

local function record_of(meta)
  local names = {'state', 'created', 'seen', 'turn_ends_at_ms', 'leased', 'in_close'}
  local values, record = redis.call('HMGET', meta, unpack(names)), {}
  for i, name in ipairs(names) do record[name] = values[i] or nil end
  return record
end
