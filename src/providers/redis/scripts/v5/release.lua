-- Releases the session's lock if it is ours, and keeps the session alive in any case.
-- KEYS: lock, data, timeout. ARGV: our lock, the timeout in seconds where none is stored.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
local timeout = redis.call('GET', KEYS[3])
if timeout then
  redis.call('EXPIRE', KEYS[2], timeout)
  redis.call('EXPIRE', KEYS[3], timeout)
else
  redis.call('EXPIRE', KEYS[2], ARGV[2])
end
return 1
