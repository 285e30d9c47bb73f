-- What the scripts of redis_deadline share; each is this text and its own.
-- KEYS: the shard's index and counter; the session and its waiters, in the scripts on one session.
-- ARGV of those: the id, how long data outlives its deadline in ms, then their own.
-- Instants are µs since 1970 by the server's clock, lengths of time µs.
local index, counter, session, waiters = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
-- What every key of the shard begins with.
local prefix = string.sub(index, 1, -#'Deadlines' - 1)

-- Puts an ended session under a name of its own, where its data waits until somebody has handled
-- it; its id is free for a new one. Enters it into the index at an instant.
local function retire(id, key, at)
  local member = id .. ':' .. redis.call('INCR', counter)
  redis.call('RENAME', key, prefix .. member .. '_Ended')
  redis.call('ZREM', index, id)
  redis.call('ZADD', index, at, member)
  return member
end

-- Deletes a session that ended before anybody initialised it: there is no end to raise.
local function discard(id, key)
  redis.call('DEL', key)
  redis.call('ZREM', index, id)
end

-- The session, without its data; nothing when there is none or its time is up. A lock stays until it
-- is released or stolen; 'until' is how long it keeps its session from ending.
local function look()
  local fields = redis.call('HMGET', session,
    'timeout', 'due', 'lock', 'until', 'taken', 'holder', 'new')
  local it = {
    timeout = tonumber(fields[1]),
    lock = fields[3],
    held = fields[3] ~= false,
    taken = tonumber(fields[5]),
    holder = fields[6],
    new = fields[7] or '',
  }
  if not it.timeout then
    return nil
  end
  local used_until = math.max(tonumber(fields[2]), tonumber(fields[4]) or 0)
  if used_until <= now then
    if it.new == '' then
      retire(ARGV[1], session, now)
    else
      discard(ARGV[1], session)
    end
    return nil
  end
  return it
end

-- Keeps the session alive. Writes the index only where it would come too late, or has come and
-- nobody looked: what comes too early is moved when it comes.
local function touch(timeout)
  local due = now + timeout
  redis.call('HSET', session, 'due', due)
  local entered = tonumber(redis.call('ZSCORE', index, ARGV[1]))
  if not entered or entered > due or entered < now then
    redis.call('ZADD', index, due, ARGV[1])
    local life = math.ceil(timeout / 1000) + ARGV[2]
    redis.call('PEXPIRE', session, life)
    if redis.call('PTTL', index) < life then
      redis.call('PEXPIRE', index, life)
    end
  end
end

local function unlock()
  redis.call('HDEL', session, 'lock', 'until', 'taken', 'holder')
end

-- The ticket of the waiter who came first and is still there.
local function first_waiter()
  local entries = redis.call('HGETALL', waiters)
  local first, first_place
  for i = 1, #entries, 2 do
    local place, lease = string.match(entries[i + 1], '^(%d+) (%d+)$')
    place = tonumber(place)
    if tonumber(lease) < now then
      redis.call('HDEL', waiters, entries[i])
    elseif not first or place < first_place then
      first, first_place = entries[i], place
    end
  end
  return first
end

-- Gives a ticket its place among the waiters, or keeps it there. Who does not wait has no lease and
-- gets no place: nobody would ever take its turn.
local function queue(it, ticket, lease)
  if tonumber(lease) > 0 then
    local place = redis.call('HGET', waiters, ticket)
    place = place and string.match(place, '^%d+') or redis.call('INCR', counter)
    redis.call('HSET', waiters, ticket, string.format('%s %.0f', place, now + lease))
    redis.call('PEXPIRE', waiters, math.ceil(lease / 1000))
  end
  if it.held then
    return {'locked', it.lock, now - it.taken, ''}
  end
  -- Free, and somebody else's turn.
  return {'locked', '0', 0, ''}
end

-- Tells the first waiter that it is its turn. A ticket names the channel of whoever holds it.
local function wake()
  local first = first_waiter()
  if first then
    local channel, number = string.match(first, '^(.*) (%d+)$')
    redis.call('PUBLISH', channel, number)
  end
end

