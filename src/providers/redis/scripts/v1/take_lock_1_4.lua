-- As take_lock.lua, but does not reply whether the lock is another's: whoever finds its own ticks in
-- it takes it for its own, and so do two servers in the same tick.
-- KEYS: lock, data, timeout. ARGV: our ticks, lifetime of the lock in seconds.
local holder = ARGV[1]
if redis.call('SETNX', KEYS[1], ARGV[1]) == 0 then
  holder = redis.call('GET', KEYS[1])
else
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
local data = ''
if holder == ARGV[1] then
  data = redis.call('HGETALL', KEYS[2])
end
local timeout = redis.call('HGET', KEYS[3], 'SessionTimeout') or '-1'
return {holder, data, timeout}
