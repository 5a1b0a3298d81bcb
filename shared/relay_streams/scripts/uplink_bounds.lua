-- The capacity of an up stream. The first part of the scripts that append to it.
--
-- up_in of the record has sums of what was ever appended, as 'bytes viewer-bytes viewer-entries': the content of all
-- entries, and the share of viewers, which has bounds of its own. Field c of each entry has the value of up_in before
-- it, so what is unread is up_in less the c of the first entry. up_base is that c when it was read last: with it the
-- difference is never too small, and the first entry is read only when the difference exceeds a bound.
local NOTHING = '0 0 0'

local function parsed(sums)
  local bytes, viewer_bytes, viewer_entries = string.match(sums or NOTHING, '^(%d+) (%d+) (%d+)$')
  return tonumber(bytes) or 0, tonumber(viewer_bytes) or 0, tonumber(viewer_entries) or 0
end

-- The sums after one more entry.
local function counted(sums, size, viewer)
  local bytes, viewer_bytes, viewer_entries = parsed(sums)
  if viewer then viewer_bytes, viewer_entries = viewer_bytes + size, viewer_entries + 1 end
  return string.format('%d %d %d', bytes + size, viewer_bytes, viewer_entries)
end

local function remaining(up, sums, base, limits)
  local bytes, viewer_bytes, viewer_entries = parsed(sums)
  local base_bytes, base_viewer_bytes, base_viewer_entries = parsed(base)
  local left, left_bytes = limits.entries - redis.call('XLEN', up), limits.bytes - (bytes - base_bytes)
  if not limits.viewer_entries then return left, left_bytes end
  return math.min(left, limits.viewer_entries - (viewer_entries - base_viewer_entries)),
    math.min(left_bytes, limits.viewer_bytes - (viewer_bytes - base_viewer_bytes))
end

-- Entries and bytes that may be appended; exact if that is fewer than wanted.
-- limits has entries and bytes, and for a viewer viewer_entries and viewer_bytes.
local function capacity(meta, up, sums, base, limits, wanted, wanted_bytes)
  local entries, bytes = remaining(up, sums, base, limits)
  if entries >= wanted and bytes >= wanted_bytes then return entries, bytes end
  base = sums
  local first = redis.call('XRANGE', up, '-', '+', 'COUNT', 1)[1]
  if first then
    for i = 1, #first[2], 2 do
      if first[2][i] == 'c' then base = first[2][i + 1] end
    end
  end
  redis.call('HSET', meta, 'up_base', base)
  return remaining(up, sums, base, limits)
end

