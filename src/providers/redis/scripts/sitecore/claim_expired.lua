-- Claims the earliest session whose deadline has passed, for whoever polls.
-- KEYS: index. ARGV: the application, our cookie, the lease in seconds, the instant up to which
-- deadlines count in ms since 1970, or "" for now.
-- Replies: that instant; then the id, the data and the deadline, if there is such a session.
-- The session's own keys follow from its id, so a cluster cannot run this script.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local signal = ARGV[4]
if signal == '' then
  signal = string.format('%.0f', now)
end

while true do
  local first = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', signal, 'WITHSCORES', 'LIMIT', 0, 1)
  local id = first[1]
  if not id then
    return {signal}
  end
  local key = '{' .. ARGV[1] .. '_' .. id .. '}'
  local lock = key .. '_WriteLock'
  if redis.call('SET', lock, ARGV[2], 'NX', 'EX', ARGV[3]) then
    local data = redis.call('GET', key .. '_SessionStateItemCollection')
    if data then
      -- The claim runs out with its lock: then the session is due again.
      redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[3] * 1000), id)
      return {signal, id, data, first[2]}
    end
    -- Only the index remembers it.
    redis.call('DEL', lock)
    redis.call('ZREM', KEYS[1], id)
  else
    -- A request holds it. It moves the deadline itself when it is done; if it never is, its lock
    -- runs out.
    local left = math.max(redis.call('PTTL', lock), 1)
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + left), id)
  end
end
