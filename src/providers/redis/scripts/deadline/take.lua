-- Takes the session's lock and reads it; or queues up.
-- ARGV: our ticket, how long the lock keeps the session from ending, how long our place is kept or
-- 0 for no place.
-- Replies: nil for no session; else 'held' or 'locked', the lock, the data or the lock's age,
-- whether the session is uninitialised.
local it = look()
if not it then
  return false
end
local ticket = ARGV[3]
-- Held by us: the answer to our first try was lost.
if not (it.held and it.holder == ticket) then
  local first = first_waiter()
  if it.held or (first and first ~= ticket) then
    return queue(it, ticket, ARGV[5])
  end
  if first then
    redis.call('HDEL', waiters, ticket)
  end
  it.lock = redis.call('INCR', counter)
  redis.call('HSET', session,
    'lock', it.lock, 'until', now + ARGV[4], 'taken', now, 'holder', ticket)
end
touch(it.timeout)
return {'held', it.lock, redis.call('HGET', session, 'data'), it.new}
