-- How much more an up stream may take. Put before the scripts that append to it.
--
-- The record has in up_in what was ever appended, as 'bytes viewer-bytes viewer-entries': bytes of all entries'
-- content, and the part of viewers, who have a share of their own. Each entry has in c what up_in was before it, so
-- the difference to the first entry is what waits. up_base is the c of the first entry when it was looked at last:
-- the difference to that is never too small, and the entry is read only when it seems too large.
local NOTHING = '0 0 0'

local function sums_of(text)
  local bytes, viewer_bytes, viewer_entries = string.match(text or NOTHING, '^(%d+) (%d+) (%d+)$')
  return tonumber(bytes) or 0, tonumber(viewer_bytes) or 0, tonumber(viewer_entries) or 0
end

-- The sums after one more entry.
local function counted(sums, size, viewer)
  local bytes, viewer_bytes, viewer_entries = sums_of(sums)
  if viewer then viewer_bytes, viewer_entries = viewer_bytes + size, viewer_entries + 1 end
  return string.format('%d %d %d', bytes + size, viewer_bytes, viewer_entries)
end

local function left(up, sums, base, limits)
  local bytes, viewer_bytes, viewer_entries = sums_of(sums)
  local base_bytes, base_viewer_bytes, base_viewer_entries = sums_of(base)
  local room, room_bytes = limits.entries - redis.call('XLEN', up), limits.bytes - (bytes - base_bytes)
  if not limits.viewer_entries then return room, room_bytes end
  return math.min(room, limits.viewer_entries - (viewer_entries - base_viewer_entries)),
    math.min(room_bytes, limits.viewer_bytes - (viewer_bytes - base_viewer_bytes))
end

-- Entries and bytes that may be appended, at least as many as wanted where there is room for them.
-- limits has entries and bytes, and viewer_entries and viewer_bytes where a viewer appends.
local function room(meta, up, sums, base, limits, wanted, wanted_bytes)
  local entries, bytes = left(up, sums, base, limits)
  if entries >= wanted and bytes >= wanted_bytes then return entries, bytes end
  base = sums
  local first = redis.call('XRANGE', up, '-', '+', 'COUNT', 1)[1]
  if first then
    for i = 1, #first[2], 2 do
      if first[2][i] == 'c' then base = first[2][i + 1] end
    end
  end
  redis.call('HSET', meta, 'up_base', base)
  return left(up, sums, base, limits)
end

