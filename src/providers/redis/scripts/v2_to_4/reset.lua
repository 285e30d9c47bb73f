-- Keeps the session alive.
-- KEYS: data, timeout. ARGV: the timeout in seconds where none is stored.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 1
end
local timeout = redis.call('HGET', KEYS[2], 'SessionTimeout')
if timeout then
  redis.call('EXPIRE', KEYS[1], timeout)
  redis.call('EXPIRE', KEYS[2], timeout)
else
  redis.call('EXPIRE', KEYS[1], ARGV[1])
  redis.call('HSET', KEYS[2], 'SessionTimeout', ARGV[1])
  redis.call('EXPIRE', KEYS[2], ARGV[1])
end
return 1
