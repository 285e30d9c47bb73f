-- Writes the session, whoever holds its lock, and leaves the lock alone. Fields that are there
-- already and not written stay.
-- KEYS: data, timeout. ARGV: index of the last argument, the timeout in seconds, names and values.
redis.call('HMSET', KEYS[1], unpack(ARGV, 3, ARGV[1]))
redis.call('EXPIRE', KEYS[1], ARGV[2])
redis.call('HSET', KEYS[2], 'SessionTimeout', ARGV[2])
redis.call('EXPIRE', KEYS[2], ARGV[2])
return 1
