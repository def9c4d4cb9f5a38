-- KEYS: the instance, then what commands touch. ARGV: the instance; for each command, JSON of its words, the second of
-- which is its key's number in KEYS. Answers what they answer; nothing, and does nothing, where the store is another one.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return false end
local answers = {}
for i = 2, #ARGV do
  local command = cjson.decode(ARGV[i])
  command[2] = KEYS[command[2]]
  answers[i - 1] = redis.call(unpack(command))
end
return answers
