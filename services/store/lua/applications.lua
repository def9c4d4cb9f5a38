-- KEYS[1]: the hash of the applications; other keys are named by their number in KEYS. JSON arrives as one argument with
-- a line for each record: Python pays for every argument.
--
-- Whoever writes for an application does so only if it is registered just now, with just this registration, so that a
-- query service which has not heard of a deletion yet brings nothing back. The lifetimes are those that the
-- application's record says.

-- Clocks differ: what may be joined is decided by the query service, and must still be there.
local SLACK_S = 60

local function lines(text)
  return string.gmatch(text, '[^\n]+')
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
    application.window_ms = math.floor((application.feedback_window_s + SLACK_S) * 1000)
    application.context_ttl_ms = math.floor(application.context_ttl_s * 1000)
    return application
  end
  return false
end

-- The Unix time in ms of the newest entry that a stream has had.
local function last_ms(stream)
  if redis.call('EXISTS', stream) == 0 then return 0 end
  local info = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then return tonumber(string.match(info[i + 1], '^%d+')) end
  end
end
