-- After clock.lua and applications.lua. ARGV: JSON {contexts: [{application, registration, name, key, contexts, events,
-- predictions, names, before, after}, ...], lessons: [{context, marker, slot, is_made, increments, init}, ...]}; the
-- events, a line for each lesson that is made; how many events are kept.
--
-- Lessons are made of their context's state, or are not made yet as that is not known. Those with `increments` add to it,
-- after it was given what it lacks (`init`); the others of a context change it together, from all that it is (`before`:
-- {name: number}) to all that it will be (`after`: {name: text}). `names` is how many names the state had; where lessons
-- do not look at it, 0, and where it is not known, more than there can be.
--
-- Answers what became of each lesson, in FeedbackStatus's words, or CHANGED where the state is not that of which it was
-- made: nothing was done, and it is to be made again. Then each context's state.
local LEARNED, ALREADY_LEARNED, GONE, FAILED = 'learned', 'already learned', 'unknown query', 'failed'
local CHANGED = 'changed'

local plan = cjson.decode(ARGV[1])
local now = now_ms()

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

-- Where the next event of a context goes: behind the predictions that are there, be they ahead of the clock.
local function next_id(context)
  local ahead_ms = last_ms(KEYS[context.predictions])
  if ahead_ms <= now or ahead_ms <= last_ms(KEYS[context.events]) then return '*' end
  return string.format('%.0f-0', ahead_ms)
end

local function publish(context, event)
  -- What follows the first one goes behind that.
  redis.call('XADD', KEYS[context.events], context.has_changed and '*' or next_id(context), 'feedback', event)
end

local function touch(context, application)
  -- A policy that learns nothing has no state.
  if redis.call('PEXPIRE', KEYS[context.key], application.context_ttl_ms) == 0 then return end
  redis.call('ZADD', KEYS[context.contexts], now, context.name)
  redis.call('ZREMRANGEBYSCORE', KEYS[context.contexts], '-inf', '(' .. now - application.context_ttl_ms)
  redis.call('PEXPIRE', KEYS[context.contexts], application.context_ttl_ms)
end

-- Returns whether it could: what is there may be no number, or so large that nothing can be added.
local function add(lesson, context)
  local state = KEYS[context.key]
  for name, value in pairs(lesson.init) do
    redis.call('HSETNX', state, name, string.format('%.17g', value))
  end
  for name, increment in pairs(lesson.increments) do
    local answer = redis.pcall('HINCRBYFLOAT', state, name, string.format('%.17g', increment))
    if type(answer) == 'table' and answer.err then
      -- Whatever else is the matter is so with all lessons.
      if not string.find(answer.err, '^%-?ERR ') then error(answer.err) end
      return false
    end
  end
  return true
end

local function replace(context)
  local state = KEYS[context.key]
  redis.call('DEL', state)
  for name, value in pairs(context.after) do
    redis.call('HSET', state, name, value)
  end
end

local function is_as_before(context)
  local found = redis.call('HGETALL', KEYS[context.key])
  if #found ~= 2 * context.names then return false end
  for i = 1, #found, 2 do
    if tonumber(found[i + 1]) ~= context.before[found[i]] then return false end
  end
  return true
end

-- Whether what was made of a state can be written. Names are only ever added to one that is added to, so that no others
-- matter than those that are gone; the others' lessons are all written or none.
local function is_ready(context)
  if not context.after then return redis.call('HLEN', KEYS[context.key]) >= context.names end
  for _, lesson in ipairs(context.lessons) do
    if is_learned(lesson) then return false end
  end
  return is_as_before(context)
end

local function learn(lesson)
  local context = plan.contexts[lesson.context]
  if not context.registered then return GONE end
  if is_learned(lesson) then return ALREADY_LEARNED end
  if not context.is_ready then return CHANGED end
  if lesson.increments and not add(lesson, context) then return FAILED end
  mark(lesson, context.registered)
  publish(context, lesson.event)
  context.has_changed = true
  return LEARNED
end

local next_event = lines(ARGV[2])
for _, lesson in ipairs(plan.lessons) do
  local context = plan.contexts[lesson.context]
  context.lessons = context.lessons or {}
  table.insert(context.lessons, lesson)
  lesson.event = lesson.is_made and next_event()
end
for _, context in ipairs(plan.contexts) do
  context.registered = registered(context.application, context.registration)
  context.is_ready = context.registered and is_ready(context)
  if context.is_ready and context.after then replace(context) end
end
local verdicts = {}
for i, lesson in ipairs(plan.lessons) do
  verdicts[i] = learn(lesson)
end
local answer = {verdicts}
for i, context in ipairs(plan.contexts) do
  if context.has_changed then
    touch(context, context.registered)
    redis.call('XTRIM', KEYS[context.events], 'MAXLEN', '~', ARGV[3])
    redis.call('PEXPIRE', KEYS[context.events], context.registered.context_ttl_ms)
  end
  answer[i + 1] = redis.call('HGETALL', KEYS[context.key])
end
return answer
