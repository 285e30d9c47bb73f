-- Stores an uninitialised session, unless there is one.
-- ARGV: the timeout, the data.
if not look() then
  redis.call('HSET', session, 'timeout', ARGV[3], 'data', ARGV[4], 'new', 1)
  touch(ARGV[3])
end
return 1
