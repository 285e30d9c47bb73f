-- As v5/read.lua; keeping alive moves the deadline in the index too.
-- KEYS: lock, data, timeout, index. ARGV: session id.
local holder = redis.call('GET', KEYS[1])
local data = ''
if not holder then
  holder = ''
  data = redis.call('GET', KEYS[2])
end

local timeout = redis.call('GET', KEYS[3])
if timeout then
  redis.call('EXPIRE', KEYS[2], timeout + 3600)
  redis.call('EXPIRE', KEYS[3], timeout + 3600)
  local now = redis.call('TIME')
  local deadline = now[1] * 1000 + math.floor(now[2] / 1000) + timeout * 1000
  redis.call('ZADD', KEYS[4], 'XX', string.format('%.0f', deadline), ARGV[1])
else
  timeout = '-1'
end
return {holder, data, timeout}
