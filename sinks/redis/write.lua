-- Writes a chunk of one KPI's values; of each series the newest wins, whoever writes it and in whatever order.
--
-- KEYS: index, rank, newest, updates. The series' own keys share their hash tag, so they are in the same slot.
-- ARGV: key prefix, TTL (ms), most history entries of a series, and of the KPI, most updates, MessagePack of
--   {names of the fields, rows}; row: {dims, order, window end (ms), score for the rank or '', open as '1' or '', json, field values},
--   how far (ms) windows in history may end before the one that is written, or ''
-- `order` is fixed-width text: definition sequence (20 digits), window end (20), progress (20), revision (10), joined by ':'.
-- Returns how many rows were newer than what was there.
local index, rank, newest_key, updates = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix, ttl, updates_cap = ARGV[1], ARGV[2], ARGV[5]
local WINDOW = 41 -- characters of `order` that tell the window: definition sequence and window end
-- Of a KPI with pacing; one that has none any more must not keep what they were.
local PACE = {
  'pace_share', 'pace_expected', 'pace_elapsed', 'pace_forecast', 'pace_low', 'pace_high', 'pace_way', 'pace_reason',
}
local names, rows = unpack(cmsgpack.unpack(ARGV[6]))
local oldest_ms = tonumber(ARGV[7])

-- Microseconds from the window end of one `order` to that of another; each half of the digits is exact in a number.
local function between(earlier, later)
  local high = tonumber(string.sub(later, 22, 31)) - tonumber(string.sub(earlier, 22, 31))
  return high * 1e10 + tonumber(string.sub(later, 32, 41)) - tonumber(string.sub(earlier, 32, 41))
end

local function drop_expired(history, order)
  while true do
    local first = redis.call('XRANGE', history, '-', '+', 'COUNT', 1)[1]
    if not first or between(first[2][2], order) <= oldest_ms * 1000 then
      return
    end
    redis.call('XDEL', history, first[1])
  end
end

local hset = {'HSET', false, 'order', false}
local has_pace = false
for i, name in ipairs(names) do
  hset[3 + 2 * i] = name
  has_pace = has_pace or name == 'pace_way'
end
local series = redis.call('ZCARD', index)
local history_cap = math.max(2, math.min(tonumber(ARGV[3]), math.floor(tonumber(ARGV[4]) / math.max(series, 1))))
local newest = redis.call('GET', newest_key) or ''
local to_index, to_rank, from_rank = {}, {}, {}
local reset, changed, updated = false, 0, false

for _, row in ipairs(rows) do
  local dims, order, open, json = row[1], row[2], row[5], row[6]
  local window = string.sub(order, 1, WINDOW)
  local key = prefix .. 'current:' .. dims
  local held, paced = unpack(redis.call('HMGET', key, 'order', 'pace_way'))
  held = held or ''
  local newer = order > held
  if newer then
    if paced and not has_pace then
      redis.call('HDEL', key, unpack(PACE))
    end
    hset[2], hset[4] = key, order
    for i, value in ipairs(row[7]) do
      hset[4 + 2 * i] = value
    end
    redis.call(unpack(hset))
    redis.call('PEXPIRE', key, ttl)
    changed = changed + 1
    to_index[#to_index + 1] = row[3]
    to_index[#to_index + 1] = dims
    if window > newest then
      newest, reset, to_rank, from_rank = window, true, {}, {}
    end
    if window == newest then
      if row[4] ~= '' then
        to_rank[#to_rank + 1] = row[4]
        to_rank[#to_rank + 1] = dims
      else
        from_rank[#from_rank + 1] = dims
      end
    end
  elseif order == held then
    redis.call('PEXPIRE', key, ttl)
  end
  -- A window may close, or be revised, after a newer one has become the current value: history takes all but repeats, and
  -- its readers take the newest value of each window.
  local past = open == '' and order ~= held
  if past then
    local history = prefix .. 'history:' .. dims
    redis.call('XADD', history, 'MAXLEN', '~', history_cap, '*', 'order', order, 'json', json)
    if oldest_ms then
      drop_expired(history, order)
    end
    redis.call('PEXPIRE', history, ttl)
  end
  if newer or (past and window ~= string.sub(held, 1, WINDOW)) then
    redis.call('XADD', updates, 'MAXLEN', '~', updates_cap, '*', 'dims', dims, 'json', json)
    updated = true
  end
end

if reset then
  redis.call('DEL', rank)
  redis.call('SET', newest_key, newest)
end
if #to_rank > 0 then
  redis.call('ZADD', rank, unpack(to_rank))
end
if #from_rank > 0 then
  redis.call('ZREM', rank, unpack(from_rank))
end
if #to_index > 0 then
  redis.call('ZADD', index, unpack(to_index))
  local last = redis.call('ZREVRANGE', index, 0, 0, 'WITHSCORES')
  -- Series whose last window is a whole TTL behind the newest are gone for good.
  redis.call('ZREMRANGEBYSCORE', index, '-inf', '(' .. string.format('%.0f', tonumber(last[2]) - tonumber(ttl)))
end
redis.call('PEXPIRE', index, ttl)
redis.call('PEXPIRE', rank, ttl)
redis.call('PEXPIRE', newest_key, ttl)
if updated then
  redis.call('PEXPIRE', updates, ttl)
end
return changed
