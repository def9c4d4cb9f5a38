-- After position.lua. ARGV: an earlier revision. Answers where the store is.
return {position(ARGV[1])}
