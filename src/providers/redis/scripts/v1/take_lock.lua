-- As v2_to_4/take_lock.lua, but keeps nothing alive.
-- KEYS: lock, data, timeout. ARGV: our ticks, lifetime of the lock in seconds.
local holder = ARGV[1]
local locked = redis.call('SETNX', KEYS[1], ARGV[1]) == 0
if locked then
  holder = redis.call('GET', KEYS[1])
else
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
local data = ''
if holder == ARGV[1] then
  data = redis.call('HGETALL', KEYS[2])
end
local timeout = redis.call('HGET', KEYS[3], 'SessionTimeout') or '-1'
return {holder, data, timeout, locked}
