-- As v2_to_4/read.lua, but keeps nothing alive.
-- KEYS: lock, data, timeout.
local holder = redis.call('GET', KEYS[1])
local data = ''
if not holder then
  holder = ''
  data = redis.call('HGETALL', KEYS[2])
end
local timeout = redis.call('HGET', KEYS[3], 'SessionTimeout') or '-1'
return {holder, data, timeout}
