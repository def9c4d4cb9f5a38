-- KEYS: the instance, the revision, the changes. Where the store is, as Identity.accept wants to be told. A transaction
-- would do, but without memory left Redis refuses those that only read, too.
local function change(revision)
  local entry = redis.call('XRANGE', KEYS[3], revision .. '-0', revision .. '-0')[1]
  return entry and entry[2][1] == 'id' and entry[2][2] or ''
end

local function position(earlier)
  local revision = redis.call('GET', KEYS[2]) or '0'
  return {redis.call('GET', KEYS[1]) or '', revision, change(revision), change(earlier)}
end
