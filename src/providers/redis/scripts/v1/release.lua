-- Releases the session's lock if it is ours; keeps nothing alive.
-- KEYS: lock, data, timeout. ARGV: our lock.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
