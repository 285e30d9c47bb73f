-- As remove.lua, and takes the session out of the index.
-- KEYS: lock, data, timeout, index. ARGV: our lock or "" for any, session id.
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 1
end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[1])
redis.call('ZREM', KEYS[4], ARGV[2])
