-- As v5/take_lock.lua; keeping alive moves the deadline in the index too.
-- KEYS: lock, data, timeout, index. ARGV: our ticks, lifetime of the lock in seconds, session id.
local holder = ARGV[1]
local locked = redis.call('SETNX', KEYS[1], ARGV[1]) == 0
if locked then
  holder = redis.call('GET', KEYS[1])
else
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end

local data = ''
if holder == ARGV[1] then
  data = redis.call('GET', KEYS[2])
end

local timeout = redis.call('GET', KEYS[3])
if timeout then
  -- Data outlives its deadline by an hour, so that no poller comes too late for it.
  redis.call('EXPIRE', KEYS[2], timeout + 3600)
  redis.call('EXPIRE', KEYS[3], timeout + 3600)
  local now = redis.call('TIME')
  local deadline = now[1] * 1000 + math.floor(now[2] / 1000) + timeout * 1000
  redis.call('ZADD', KEYS[4], 'XX', string.format('%.0f', deadline), ARGV[3])
else
  timeout = '-1'
end
return {holder, data, timeout, locked}
