-- After position.lua. KEYS: as there, then hashes. ARGV: an earlier revision. Answers where the store is, and all that is
-- in each hash.
local answer = {position(ARGV[1])}
for i = 4, #KEYS do
  answer[i - 2] = redis.call('HGETALL', KEYS[i])
end
return answer
