-- Keeps nothing alive, although it is meant to: it compares a number with a truth value, which are
-- never equal, and stops.
-- KEYS: data, timeout. ARGV: the timeout in seconds where none is stored.
if redis.call('EXISTS', KEYS[1]) ~= true then
  return 1
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 1
