-- Writes what changed, if the lock is ours; otherwise does nothing, silently. No lock is none of
-- ours. Leaves the lock to the end of the request, unless unlock.lua follows.
-- KEYS: lock, data, timeout. ARGV: as v2_to_4/update.lua.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
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
