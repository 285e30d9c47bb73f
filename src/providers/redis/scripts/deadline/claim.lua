-- Claims sessions whose time is up, the earliest first, and moves index entries that came too early.
-- KEYS: index, counter. ARGV: how many entries, how long a claim lasts, how long data outlives its
-- deadline in ms.
-- Replies: now; the earliest instant in the index after this, or -1; how many entries were moved or
-- dropped; then for each claim its member, its token, how often it was claimed, and the data.
local moved = 0
local reply = {now, -1, 0}
local members = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, ARGV[1])
for _, member in ipairs(members) do
  local key = prefix .. member .. '_Ended'
  if not string.find(member, ':', 1, true) then
    local living = prefix .. member .. '_Session'
    local fields = redis.call('HMGET', living, 'due', 'until', 'timeout', 'new')
    local due, held_until = tonumber(fields[1]), tonumber(fields[2])
    -- Whoever holds a lock keeps the session alive, and enters its deadline when it is done.
    local at = math.max(due or 0, held_until or 0)
    if at > now then
      redis.call('ZADD', index, at, member)
      redis.call('PEXPIRE', living, math.ceil(fields[3] / 1000) + ARGV[3])
      moved = moved + 1
      key = nil
    elseif fields[4] then
      discard(member, living)
      moved = moved + 1
      key = nil
    elseif due then
      member = retire(member, living, now)
      key = prefix .. member .. '_Ended'
    end
  end
  local data = key and redis.call('HGET', key, 'data')
  if data then
    local token = now + ARGV[2]
    redis.call('ZADD', index, token, member)
    table.insert(reply, {member, token, redis.call('HINCRBY', key, 'claims', 1), data})
  elseif key then
    -- Only the index remembers it.
    redis.call('ZREM', index, member)
    moved = moved + 1
  end
end
local first = redis.call('ZRANGE', index, 0, 0, 'WITHSCORES')
reply[2] = tonumber(first[2]) or -1
reply[3] = moved
return reply
