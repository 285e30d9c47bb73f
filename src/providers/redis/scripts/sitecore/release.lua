-- As v5/release.lua; keeping alive moves the deadline in the index too.
-- KEYS: lock, data, timeout, index. ARGV: our lock, the timeout where none is stored, session id.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
local timeout = redis.call('GET', KEYS[3]) or ARGV[2]
redis.call('EXPIRE', KEYS[2], timeout + 3600)
redis.call('EXPIRE', KEYS[3], timeout + 3600)
local now = redis.call('TIME')
local deadline = now[1] * 1000 + math.floor(now[2] / 1000) + timeout * 1000
redis.call('ZADD', KEYS[4], 'XX', string.format('%.0f', deadline), ARGV[3])
return 1
