-- KEYS: the instance, the revision, the changes, then the hashes that are written to. ARGV: the instance, the revision
-- and its change ('': any) that are there; the new change's id, and what it is as JSON; how many changes are kept; then
-- a hash's number in KEYS, a key and a record ('': none) for each. Answers 1; or 0, and does nothing, where the store is
-- elsewhere.
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
