-- KEYS[1]: a stream of events. ARGV: a context, the same as JSON, which is found faster than records are decoded; where to
-- go on; how many events to look at. Answers the id of the last one that was looked at; nothing after the newest.
local function is_of_context(kind, record)
  if not string.find(record, ARGV[2], 1, true) then return false end
  local decoded = cjson.decode(record)
  return (kind == 'prediction' and decoded[2] or decoded.context) == ARGV[1]
end

local last = false
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[3], '+', 'COUNT', ARGV[4])) do
  last = entry[1]
  if is_of_context(unpack(entry[2])) then redis.call('XDEL', KEYS[1], last) end
end
return last
