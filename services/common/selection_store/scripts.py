"""What the selection store does inside Redis, as Lua: each script is one atomic step.

All of them write only for an application that is registered just now, with just this registration, so that a query
service which has not heard of a deletion yet brings nothing back. The lifetimes are those that the application's record
says. JSON arrives as one argument with a line for each record: Python pays for every argument.

KEYS[1] is the hash of the applications; other keys are named by their number in KEYS.
"""

from services.common.lessons import FeedbackStatus

# Clocks differ: what may be joined is decided by the query service, and must still be there.
_SLACK_S = 60

_COMMON = f"""
local function lines(text)
  return string.gmatch(text, '[^\\n]+')
end

local function is_duration(seconds)
  return type(seconds) == 'number' and seconds > 0 and seconds < 1e12
end

-- A record that cannot be read is nobody's, and no reason to fail the other applications of the call.
local function registered(name, registration)
  local record = redis.call('HGET', KEYS[1], name)
  local is_json, application = pcall(cjson.decode, record or 'null')
  if is_json and type(application) == 'table' and application.registration == registration
      and is_duration(application.feedback_window_s) and is_duration(application.context_ttl_s) then
    application.window_ms = math.floor((application.feedback_window_s + {_SLACK_S}) * 1000)
    application.context_ttl_ms = math.floor(application.context_ttl_s * 1000)
    return application
  end
  return false
end

local function publish(events, kind, record)
  redis.call('XADD', KEYS[events], '*', kind, record)
end

local function keep(events, kept, application)
  redis.call('XTRIM', KEYS[events], 'MAXLEN', '~', kept)
  redis.call('PEXPIRE', KEYS[events], application.context_ttl_ms)
end
"""

# How many neighbours share a key that tells when they were recorded. Where predictions are many, some hundred are
# recorded at once; where they are few, as many places have to be looked at.
_NEIGHBOURS = 128
# Of more, the rest is forgotten with the next predictions.
_MOST_FORGOTTEN = 1_000

_FINDING = f"""{_COMMON}
local function recordings(owner, id)
  return owner.recordings .. string.format('%.0f', math.floor(tonumber(id) / {_NEIGHBOURS}))
end

local function find(events, times, id)
  for _, ms in ipairs(times) do
    local entry = redis.call('XRANGE', events, ms .. '-' .. id, ms .. '-' .. id)[1]
    if entry then return entry[2][2] end
  end
  return false
end
"""

# ARGV: JSON [{application, registration, recordings, events, ids}, ...], the ids in ascending order; the records, a
# line for each id; how many predictions of an application are kept. Answers how many predictions of each had to make
# way though their feedback could still have come.
RECORD = f"""{_FINDING}
local next_record = lines(ARGV[2])
local kept = tonumber(ARGV[3])
local time = redis.call('TIME')
local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)

local function last_ms(stream)
  if redis.call('EXISTS', stream) == 0 then return 0 end
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return tonumber(string.match(info[i + 1], '^%d+')) end
  end
end

local function record(owner, application)
  local events = KEYS[owner.events]
  local ms = string.format('%.0f', math.max(now_ms, last_ms(events) + 1))
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
  local count = math.min(known - kept, {_MOST_FORGOTTEN})
  if count <= 0 then return 0 end
  local missed, key, ms = 0, nil, nil
  -- The one that stays may have been recorded with the last one that goes.
  for i, entry in ipairs(redis.call('XRANGE', events, '-', '+', 'COUNT', count + 1)) do
    local its_ms, id = string.match(entry[1], '^(%d+)-(%d+)$')
    local its_key = recordings(owner, id)
    if key and (its_key ~= key or its_ms ~= ms) then redis.call('SREM', key, ms) end
    key, ms = its_key, its_ms
    if i <= count and tonumber(ms) > now_ms - application.feedback_window_s * 1000 then missed = missed + 1 end
  end
  redis.call('XTRIM', events, 'MAXLEN', known - count)
  return missed
end

local missed = {{}}
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
"""

# ARGV: JSON [{recordings, events, id}, ...]. Answers the records; nothing for what is not recorded, or no longer.
JOIN = f"""{_FINDING}
local found = {{}}
for i, query in ipairs(cjson.decode(ARGV[1])) do
  found[i] = find(KEYS[query.events], redis.call('SMEMBERS', recordings(query, query.id)), query.id)
end
return found
"""

_LEARNED, _ALREADY_LEARNED, _GONE = (
    repr(status.value)
    for status in (FeedbackStatus.LEARNED, FeedbackStatus.ALREADY_LEARNED, FeedbackStatus.UNKNOWN_QUERY)
)
# Not what became of feedback: it is to be tried again.
CHANGED = "changed"
_CHANGED = repr(CHANGED)

_LEARNING = f"""{_COMMON}
local function is_learned(lesson)
  if lesson.marker == 0 then return false end
  if lesson.slot < 0 then return redis.call('EXISTS', KEYS[lesson.marker]) == 1 end
  return redis.call('GETBIT', KEYS[lesson.marker], lesson.slot) == 1
end

local function mark(lesson, application)
  if lesson.marker == 0 then return end
  if lesson.slot < 0 then
    redis.call('SET', KEYS[lesson.marker], 1)
  else
    redis.call('SETBIT', KEYS[lesson.marker], lesson.slot, 1)
  end
  redis.call('PEXPIRE', KEYS[lesson.marker], application.window_ms)
end

local function touch(context, application)
  -- A policy that learns nothing has no state.
  if redis.call('PEXPIRE', KEYS[context.key], application.context_ttl_ms) == 0 then return end
  local time = redis.call('TIME')
  local now_ms = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZADD', KEYS[context.contexts], now_ms, context.name)
  redis.call('ZREMRANGEBYSCORE', KEYS[context.contexts], '-inf', '(' .. now_ms - application.context_ttl_ms)
  redis.call('PEXPIRE', KEYS[context.contexts], application.context_ttl_ms)
end
"""

# ARGV: JSON {contexts: [{application, registration, name, key, contexts, events}, ...],
#             lessons: [{context, marker, slot, names, init, increments}, ...]}; the events, a line for each lesson; how
# many events are kept.
# Answers what became of the lessons, then each context's state.
ADD = f"""{_LEARNING}
local plan = cjson.decode(ARGV[1])
local next_event = lines(ARGV[2])

local function add(lesson, event)
  local context = plan.contexts[lesson.context]
  local application = context.registered
  if not application then return {_GONE} end
  if is_learned(lesson) then return {_ALREADY_LEARNED} end
  local state = KEYS[context.key]
  -- What `init` was made from is there no longer.
  if redis.call('HLEN', state) < lesson.names then return {_CHANGED} end
  for name, value in pairs(lesson.init) do
    redis.call('HSETNX', state, name, string.format('%.17g', value))
  end
  for name, increment in pairs(lesson.increments) do
    redis.call('HINCRBYFLOAT', state, name, string.format('%.17g', increment))
  end
  mark(lesson, application)
  publish(context.events, 'feedback', event)
  context.changed = true
  return {_LEARNED}
end

for _, context in ipairs(plan.contexts) do
  context.registered = registered(context.application, context.registration)
end
local verdicts = {{}}
for i, lesson in ipairs(plan.lessons) do
  verdicts[i] = add(lesson, next_event())
end
local answer = {{verdicts}}
for i, context in ipairs(plan.contexts) do
  if context.changed then
    touch(context, context.registered)
    keep(context.events, ARGV[3], context.registered)
  end
  answer[i + 1] = redis.call('HGETALL', KEYS[context.key])
end
return answer
"""

# ARGV: JSON {context: {application, ...}, lessons: [{marker, slot, is_new}, ...], before: {name: text}, names,
#             after: {name: text}}; the events, a line for each new lesson; how many events are kept.
# Answers LEARNED; or CHANGED (the state is not the one before, or a lesson is new no longer) or GONE, doing nothing.
# Then 1 for each lesson that had been learned, else 0; then the state that was there.
REVISE = f"""{_LEARNING}
local plan = cjson.decode(ARGV[1])
local context = plan.context
local state = KEYS[context.key]

local function is_as_before(found)
  if #found ~= 2 * plan.names then return false end
  for i = 1, #found, 2 do
    if plan.before[found[i]] ~= found[i + 1] then return false end
  end
  return true
end

local function write(application)
  redis.call('DEL', state)
  for name, value in pairs(plan.after) do
    redis.call('HSET', state, name, value)
  end
  local next_event = lines(ARGV[2])
  for _, lesson in ipairs(plan.lessons) do
    if lesson.is_new then
      mark(lesson, application)
      publish(context.events, 'feedback', next_event())
    end
  end
  touch(context, application)
  keep(context.events, ARGV[3], application)
end

local found = redis.call('HGETALL', state)
local verdict = is_as_before(found) and {_LEARNED} or {_CHANGED}
local learned = {{}}
for i, lesson in ipairs(plan.lessons) do
  learned[i] = is_learned(lesson) and 1 or 0
  if lesson.is_new and learned[i] == 1 then verdict = {_CHANGED} end
end
local application = registered(context.application, context.registration)
if not application then verdict = {_GONE} end
if verdict == {_LEARNED} then write(application) end
return {{verdict, learned, found}}
"""

# KEYS[1]: a stream of events; ARGV: a context, the same as JSON, which is found faster than records are decoded; where
# to go on; how many events to look at. Answers the id of the last one that was looked at; nothing after the newest.
FORGET_EVENTS = """
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
"""
