-- After clock.lua. KEYS: the instance, the next query id. ARGV: the instance; how many ids. Answers the first of them;
-- nothing where the store is another one. A counter that went back with the store is overtaken by the clock.

-- So many ids pass by in a millisecond whether they are used or not: 2^53, which a JSON number can carry exactly, in 34
-- years.
local IDS_PER_MS = 8192
-- Somebody who tries Clipper out sees ids that begin with 0.
local YOUNG_MS = 60000

local instance = redis.call('GET', KEYS[1])
if instance ~= ARGV[1] then return false end
local age_ms = now_ms() - tonumber(string.match(instance, '^%d+'))
local next_id = tonumber(redis.call('GET', KEYS[2]) or '')
if not next_id and age_ms < YOUNG_MS then
  next_id = 0
else
  next_id = math.max(next_id or 0, age_ms * IDS_PER_MS)
end
redis.call('SET', KEYS[2], string.format('%.0f', next_id + ARGV[2]))
return string.format('%.0f', next_id)
