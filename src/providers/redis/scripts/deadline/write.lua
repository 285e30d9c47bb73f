-- Writes the session and releases its lock, if the lock is ours.
-- ARGV: our lock or "" to write in any case, the timeout, the data.
-- Replies: whether it was written.
local it = look()
local lock = ARGV[3]
if lock ~= '' and not (it and it.lock == lock) then
  return 0
end
redis.call('HSET', session, 'timeout', ARGV[4], 'data', ARGV[5])
redis.call('HDEL', session, 'new')
touch(ARGV[4])
if lock ~= '' then
  unlock()
  wake()
end
return 1
