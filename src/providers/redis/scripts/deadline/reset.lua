-- Keeps the session alive. Replies: its timeout, or 0 for no session.
local it = look()
if not it then
  return 0
end
touch(it.timeout)
return it.timeout
