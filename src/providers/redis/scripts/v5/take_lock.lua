-- Takes the session's lock, or tells who holds it; reads the session when the lock is ours.
-- KEYS: lock, data, timeout. ARGV: our ticks, lifetime of the lock in seconds.
-- Replies: the lock's value, the data, the timeout in seconds or "-1", whether another holds it.
local holder = ARGV[1]
local locked = redis.call('SETNX', KEYS[1], ARGV[1]) == 0
if locked then
  holder = redis.call('GET', KEYS[1])
else
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end

-- Two servers in the same tick write the same value: only the last element tells them apart.
local data = ''
if holder == ARGV[1] then
  data = redis.call('GET', KEYS[2])
end

-- A waiter keeps the session alive too.
local timeout = redis.call('GET', KEYS[3])
if timeout then
  redis.call('EXPIRE', KEYS[2], timeout)
  redis.call('EXPIRE', KEYS[3], timeout)
else
  timeout = '-1'
end
return {holder, data, timeout, locked}
