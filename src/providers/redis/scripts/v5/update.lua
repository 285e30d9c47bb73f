-- Writes the session and releases its lock, if the lock is ours; otherwise does nothing, silently.
-- KEYS: lock, data, timeout.
-- ARGV: our lock or "" for any, the timeout in seconds, count and range of removed values (always
-- none), count and range of written ones (always one), the field's name, the data.
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 1
end
redis.call('SET', KEYS[2], ARGV[10])
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('SET', KEYS[3], ARGV[2])
redis.call('EXPIRE', KEYS[3], ARGV[2])
redis.call('DEL', KEYS[1])
