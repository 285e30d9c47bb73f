-- Writes what changed and releases the session's lock, if the lock is ours; otherwise does nothing,
-- silently.
-- KEYS: lock, data, timeout.
-- ARGV: our lock or "" for any, the timeout in seconds, count and range of removed names, count and
-- range of names and values that were set, then the names and values themselves.
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 1
end
if tonumber(ARGV[3]) > 0 then
  redis.call('HDEL', KEYS[2], unpack(ARGV, ARGV[4], ARGV[5]))
end
if tonumber(ARGV[6]) > 0 then
  redis.call('HMSET', KEYS[2], unpack(ARGV, ARGV[7], ARGV[8]))
end
redis.call('EXPIRE', KEYS[2], ARGV[2])
redis.call('HSET', KEYS[3], 'SessionTimeout', ARGV[2])
redis.call('EXPIRE', KEYS[3], ARGV[2])
redis.call('DEL', KEYS[1])
