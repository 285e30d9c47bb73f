-- Leaves the queue; whoever was behind us may have been waiting for us.
-- ARGV: our ticket.
redis.call('HDEL', waiters, ARGV[3])
local it = look()
if it then
  -- Ours, and the answer that said so was lost.
  if it.holder == ARGV[3] then
    unlock()
    it.held = false
  end
  if not it.held then
    wake()
  end
end
return 1
