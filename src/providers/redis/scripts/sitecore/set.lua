-- As v5/set.lua, and enters the deadline into the index.
-- KEYS: data, timeout, index. ARGV: the data, the timeout in seconds, session id.
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2] + 3600)
redis.call('SET', KEYS[2], ARGV[2], 'EX', ARGV[2] + 3600)
local now = redis.call('TIME')
local deadline = now[1] * 1000 + math.floor(now[2] / 1000) + ARGV[2] * 1000
redis.call('ZADD', KEYS[3], string.format('%.0f', deadline), ARGV[3])
return 1
