-- Reads the session unless somebody holds its lock; then queues up.
-- ARGV: our ticket, how long our place is kept or 0 for no place.
-- Replies: as take.lua, with 'free' instead of 'held'.
local it = look()
if not it then
  return false
end
if it.held then
  return queue(it, ARGV[3], ARGV[4])
end
-- A reader takes no lock, so whoever is next need not wait for it.
if redis.call('HDEL', waiters, ARGV[3]) == 1 then
  wake()
end
touch(it.timeout)
-- Only the first to get it is told to initialise it.
if it.new ~= '' then
  redis.call('HDEL', session, 'new')
end
return {'free', '', redis.call('HGET', session, 'data'), it.new}
