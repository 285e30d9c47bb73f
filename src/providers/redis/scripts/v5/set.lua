-- Writes the session, whoever holds its lock, and leaves the lock alone.
-- KEYS: data, timeout. ARGV: the data, the timeout in seconds.
redis.call('SET', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
