-- Deletes the session, if its lock is ours; no lock is none of ours. Otherwise does nothing,
-- silently.
-- KEYS: lock, data, timeout. ARGV: our lock.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 1
end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[1])
