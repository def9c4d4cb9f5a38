"""What the store does inside Redis, as Lua: each script is one atomic step."""

_COMMON = """
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

# KEYS: the instance. ARGV: a random id. Answers the instance, which is made where there is none.
INTRODUCE = f"""{_COMMON}
local instance = redis.call('GET', KEYS[1])
if not instance then
  instance = string.format('%.0f-%s', now_ms(), ARGV[1])
  redis.call('SET', KEYS[1], instance)
end
return instance
"""

# Where the store is, as Identity.accept wants to be told. A transaction would do, but without memory left Redis refuses
# those that only read, too.
_LOCATE = """
local function change(revision)
  local entry = redis.call('XRANGE', KEYS[3], revision .. '-0', revision .. '-0')[1]
  return entry and entry[2][1] == 'id' and entry[2][2] or ''
end

local function locate(earlier)
  local revision = redis.call('GET', KEYS[2]) or '0'
  return {redis.call('GET', KEYS[1]) or '', revision, change(revision), change(earlier)}
end
"""

# KEYS: the instance, the revision, the changes. ARGV: an earlier revision.
LOCATE = f"{_LOCATE} return {{locate(ARGV[1])}}"

# KEYS: likewise, then hashes. ARGV: likewise. Answers with all that is in the hashes, too.
SNAPSHOT = f"""{_LOCATE}
local answer = {{locate(ARGV[1])}}
for i = 4, #KEYS do
  answer[i - 2] = redis.call('HGETALL', KEYS[i])
end
return answer
"""

# KEYS and ARGV: as for LOCATE. Answers with the changes after the earlier revision, too.
CATCH_UP = f"{_LOCATE} return {{locate(ARGV[1]), redis.call('XRANGE', KEYS[3], ARGV[1] + 1 .. '-0', '+')}}"

# KEYS: the instance, the revision, the changes, then the hashes that are written to. ARGV: the instance, the revision
# and its change ('': any) that are there; the new change's id, and what it is as JSON; how many changes are kept; then
# a hash's number in KEYS, a key and a record ('': none) for each. Answers 1; or 0, and does nothing, where the store is
# elsewhere.
COMMIT = """
local instance, revision, change, id, entry, kept = unpack(ARGV)
if redis.call('GET', KEYS[1]) ~= instance or (redis.call('GET', KEYS[2]) or '0') ~= revision then return 0 end
local newest = redis.call('XREVRANGE', KEYS[3], '+', '-', 'COUNT', 1)[1]
if newest and newest[1] == revision .. '-0' and newest[2][1] == 'id' and change ~= '' and newest[2][2] ~= change then
  return 0
end
if newest and tonumber(string.match(newest[1], '^%d+')) > tonumber(revision) then
  -- Nothing could be appended to what somebody else has written there; its followers take a snapshot.
  redis.call('DEL', KEYS[3])
end
for i = 7, #ARGV, 3 do
  local records, key, record = KEYS[tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]
  if record == '' then
    redis.call('HDEL', records, key)
  else
    redis.call('HSET', records, key, record)
  end
end
local after = string.format('%.0f', revision + 1)
redis.call('SET', KEYS[2], after)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', kept, after .. '-0', 'id', id, 'instance', instance, 'changes', entry)
return 1
"""

# So many ids pass by in a millisecond whether they are used or not: 2^53, which a JSON number can carry exactly, in 34
# years.
_IDS_PER_MS = 1 << 13
# Somebody who tries Clipper out sees ids that begin with 0.
_YOUNG_MS = 60_000

# KEYS: the instance, the next query id. ARGV: the instance; how many ids. Answers the first of them; nothing where the
# store is another one. A counter that went back with the store is overtaken by the clock.
TAKE_QUERY_IDS = f"""{_COMMON}
local instance = redis.call('GET', KEYS[1])
if instance ~= ARGV[1] then return false end
local age_ms = now_ms() - tonumber(string.match(instance, '^%d+'))
local next_id = tonumber(redis.call('GET', KEYS[2]) or '')
if not next_id and age_ms < {_YOUNG_MS} then
  next_id = 0
else
  next_id = math.max(next_id or 0, age_ms * {_IDS_PER_MS})
end
redis.call('SET', KEYS[2], string.format('%.0f', next_id + ARGV[2]))
return string.format('%.0f', next_id)
"""
