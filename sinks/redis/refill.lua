-- Completes the history of series from `NAME.values`: of each window the newest value stays, in the order of windows.
-- Doing it twice changes nothing.
--
-- KEYS: index (for its slot). ARGV: key prefix, TTL (ms), most history entries of a series, and of the KPI,
--   MessagePack of a list of {dims, {{order, json}, ...}}, how far (ms) windows may end before the last one, or ''
-- Returns how many series changed.
local prefix, ttl = ARGV[1], ARGV[2]
local series = math.max(redis.call('ZCARD', KEYS[1]), 1)
local cap = math.max(2, math.min(tonumber(ARGV[3]), math.floor(tonumber(ARGV[4]) / series)))
local oldest_ms = tonumber(ARGV[6])
local changed = 0

-- Microseconds from one window end to another; each half of the digits is exact in a number.
local function between(earlier, later)
  local high = tonumber(string.sub(later, 1, 10)) - tonumber(string.sub(earlier, 1, 10))
  return high * 1e10 + tonumber(string.sub(later, 11, 20)) - tonumber(string.sub(earlier, 11, 20))
end

for _, entry in ipairs(cmsgpack.unpack(ARGV[5])) do
  local key = prefix .. 'history:' .. entry[1]
  local best, ends, added = {}, {}, '' -- the last: the latest window end that got a newer value
  local function take(order, json)
    local window_end = string.sub(order, 22, 41)
    local known = best[window_end]
    if not known then
      ends[#ends + 1] = window_end
    end
    if not known or order > known[1] then
      best[window_end] = {order, json}
      return true
    end
    return false
  end
  for _, held in ipairs(redis.call('XRANGE', key, '-', '+')) do
    local fields = {}
    for i = 1, #held[2], 2 do
      fields[held[2][i]] = held[2][i + 1]
    end
    take(fields['order'], fields['json'])
  end
  for _, value in ipairs(entry[2]) do
    local window_end = string.sub(value[1], 22, 41)
    if take(value[1], value[2]) and window_end > added then
      added = window_end
    end
  end
  table.sort(ends)
  local from = math.max(1, #ends - cap + 1)
  while oldest_ms and from < #ends and between(ends[from], ends[#ends]) > oldest_ms * 1000 do
    from = from + 1
  end
  if #ends > 0 and added >= ends[from] then
    redis.call('DEL', key)
    for i = from, #ends do
      local value = best[ends[i]]
      redis.call('XADD', key, '*', 'order', value[1], 'json', value[2])
    end
    redis.call('PEXPIRE', key, ttl)
    changed = changed + 1
  end
end
return changed
