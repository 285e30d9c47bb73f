-- Deletes the session, if its lock is ours.
-- ARGV: our lock or "" for any. Replies: whether it was deleted.
local it = look()
if not it or (ARGV[3] ~= '' and it.lock ~= ARGV[3]) then
  return 0
end
redis.call('DEL', session)
redis.call('ZREM', index, ARGV[1])
wake()
return 1
