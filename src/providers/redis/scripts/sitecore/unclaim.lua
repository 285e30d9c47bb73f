-- Gives a claimed session back with its old deadline.
-- KEYS: lock, index. ARGV: our cookie, session id, the deadline in ms since 1970.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
  redis.call('ZADD', KEYS[2], 'XX', ARGV[3], ARGV[2])
end
return 1
