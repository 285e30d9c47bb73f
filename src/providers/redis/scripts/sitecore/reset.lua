-- As v5/reset.lua; keeping alive moves the deadline in the index too.
-- KEYS: data, timeout, index. ARGV: the timeout in seconds where none is stored, session id.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 1
end
local timeout = redis.call('GET', KEYS[2]) or ARGV[1]
redis.call('SET', KEYS[2], timeout, 'EX', timeout + 3600)
redis.call('EXPIRE', KEYS[1], timeout + 3600)
local now = redis.call('TIME')
local deadline = now[1] * 1000 + math.floor(now[2] / 1000) + timeout * 1000
redis.call('ZADD', KEYS[3], 'XX', string.format('%.0f', deadline), ARGV[2])
return 1
