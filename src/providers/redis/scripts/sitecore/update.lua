-- As v5/update.lua, and enters the deadline into the index.
-- KEYS: lock, data, timeout, index.
-- ARGV: our lock or "" for any, the timeout in seconds, the data, session id.
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 1
end
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[2] + 3600)
redis.call('SET', KEYS[3], ARGV[2], 'EX', ARGV[2] + 3600)
local now = redis.call('TIME')
local deadline = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[2] * 1000
redis.call('ZADD', KEYS[4], string.format('%.0f', deadline), ARGV[4])
redis.call('DEL', KEYS[1])
