-- Takes the poller's own lock on a session and reads its data. The lock is never released; it runs
-- out.
-- KEYS: the poller's lock, data. ARGV: what proves the claim, how long it lasts in seconds.
-- Replies: the lock's value, the data where the lock is ours, whether it is another's.
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
return {holder, data, locked}
