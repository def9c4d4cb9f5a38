-- After clock.lua, applications.lua and recordings.lua. ARGV: JSON [{application, registration, recordings, events, ids},
-- ...], the ids in ascending order; the records, a line for each id; how many predictions of an application are kept.
-- Answers how many predictions of each had to make way though their feedback could still have come.

-- Of more, the rest is forgotten with the next predictions.
local MOST_FORGOTTEN = 1000

local next_record = lines(ARGV[2])
local kept = tonumber(ARGV[3])
local now = now_ms()

local function record(owner, application)
  local events = KEYS[owner.events]
  local ms = string.format('%.0f', math.max(now, last_ms(events) + 1))
  local key, times
  for _, id in ipairs(owner.ids) do
    local prediction = next_record()
    if key ~= recordings(owner, id) then
      key = recordings(owner, id)
      times = redis.call('SMEMBERS', key)
      redis.call('SADD', key, ms)
      redis.call('PEXPIRE', key, application.window_ms)
    end
    if not find(events, times, id) then
      redis.call('XADD', events, ms .. '-' .. id, 'prediction', prediction)
    end
  end
  redis.call('PEXPIRE', events, application.context_ttl_ms)
end

local function make_way(owner, application)
  local events = KEYS[owner.events]
  local known = redis.call('XLEN', events)
  local count = math.min(known - kept, MOST_FORGOTTEN)
  if count <= 0 then return 0 end
  local missed, key, ms = 0, nil, nil
  -- The one that stays may have been recorded with the last one that goes.
  for i, entry in ipairs(redis.call('XRANGE', events, '-', '+', 'COUNT', count + 1)) do
    local its_ms, id = string.match(entry[1], '^(%d+)-(%d+)$')
    local its_key = recordings(owner, id)
    if key and (its_key ~= key or its_ms ~= ms) then redis.call('SREM', key, ms) end
    key, ms = its_key, its_ms
    if i <= count and tonumber(ms) > now - application.feedback_window_s * 1000 then missed = missed + 1 end
  end
  redis.call('XTRIM', events, 'MAXLEN', known - count)
  return missed
end

local missed = {}
for i, owner in ipairs(cjson.decode(ARGV[1])) do
  local application = registered(owner.application, owner.registration)
  if application then
    record(owner, application)
    missed[i] = make_way(owner, application)
  else
    for _ in ipairs(owner.ids) do next_record() end
    missed[i] = 0
  end
end
return missed
