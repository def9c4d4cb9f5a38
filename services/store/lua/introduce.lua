-- After clock.lua. KEYS: the instance. ARGV: a random id. Answers the instance, which is made where there is none.
local instance = redis.call('GET', KEYS[1])
if not instance then
  instance = string.format('%.0f-%s', now_ms(), ARGV[1])
  redis.call('SET', KEYS[1], instance)
end
return instance
