-- Releases the session's lock if it is ours, and keeps the session alive in any case.
-- ARGV: our lock. Replies: the session's timeout, or 0 for no session.
local it = look()
if not it then
  return 0
end
touch(it.timeout)
if it.lock == ARGV[3] then
  -- Only the first to get it is told to initialise it.
  redis.call('HDEL', session, 'new')
  unlock()
  wake()
end
return it.timeout
