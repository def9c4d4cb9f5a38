-- After recordings.lua. ARGV: JSON [{recordings, events, id}, ...]. Answers the records; nothing for what is not
-- recorded, or no longer.
local found = {}
for i, query in ipairs(cjson.decode(ARGV[1])) do
  found[i] = find(KEYS[query.events], redis.call('SMEMBERS', recordings(query, query.id)), query.id)
end
return found
