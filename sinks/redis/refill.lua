-- Completes the history of series from `NAME.values`: of each window the newest value stays, in the order of windows.
-- Doing it twice changes nothing.
--
-- KEYS: index (for its slot). ARGV: key prefix, TTL (ms), most history entries of a series, and of the KPI,
--   MessagePack of a list of {dims, {{order, json}, ...}}
-- Returns how many series changed.
local prefix, ttl = ARGV[1], ARGV[2]
local series = math.max(redis.call('ZCARD', KEYS[1]), 1)
local cap = math.max(2, math.min(tonumber(ARGV[3]), math.floor(tonumber(ARGV[4]) / series)))
local changed = 0

for _, entry in ipairs(cmsgpack.unpack(ARGV[5])) do
  local key = prefix .. 'history:' .. entry[1]
  local best, ends, added = {}, {}, false
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
    added = take(value[1], value[2]) or added
  end
  if added then
    table.sort(ends)
    redis.call('DEL', key)
    for i = math.max(1, #ends - cap + 1), #ends do
      local value = best[ends[i]]
      redis.call('XADD', key, '*', 'order', value[1], 'json', value[2])
    end
    redis.call('PEXPIRE', key, ttl)
    changed = changed + 1
  end
end
return changed
