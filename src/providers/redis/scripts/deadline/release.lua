-- Releases the session's lock if it is ours, and keeps the session alive in any case.
-- ARGV: our lock.
local it = look()
if it then
  touch(it.timeout)
  if it.lock == ARGV[3] then
    unlock()
    wake()
  end
end
return 1
