-- Reads the session unless it is locked, and keeps it alive.
-- KEYS: lock, data, timeout.
-- Replies: the lock's value or "", the data, the timeout in seconds or "-1".
local holder = redis.call('GET', KEYS[1])
local data = ''
if not holder then
  holder = ''
  data = redis.call('HGETALL', KEYS[2])
end

local timeout = redis.call('HGET', KEYS[3], 'SessionTimeout')
if timeout then
  redis.call('EXPIRE', KEYS[2], timeout)
  redis.call('EXPIRE', KEYS[3], timeout)
else
  timeout = '-1'
end
return {holder, data, timeout}
