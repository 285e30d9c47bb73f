-- Writes the session and releases its lock, if the lock is ours; without a lock, writes a new one.
-- Of two requests that both found none, the first writes: the second never saw what it would replace.
-- ARGV: our lock or "" for a new session, the timeout, the data.
-- Replies: whether it was written.
local it = look()
local lock = ARGV[3]
if lock ~= '' and not (it and it.lock == lock) then
  return 0
end
if lock == '' and it and (it.held or it.new == '') then
  -- Ours, if the answer to our first try was lost.
  return redis.call('HGET', session, 'data') == ARGV[5] and 1 or 0
end
redis.call('HSET', session, 'timeout', ARGV[4], 'data', ARGV[5])
redis.call('HDEL', session, 'new')
touch(ARGV[4])
if lock ~= '' then
  unlock()
  wake()
end
return 1
