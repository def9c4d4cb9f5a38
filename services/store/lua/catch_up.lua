-- After position.lua. ARGV: an earlier revision. Answers where the store is, and the changes after that revision.
return {position(ARGV[1]), redis.call('XRANGE', KEYS[3], ARGV[1] + 1 .. '-0', '+')}
