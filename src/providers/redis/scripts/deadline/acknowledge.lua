-- Removes an ended session whose end was handled, if the claim on it is still ours.
-- KEYS: index, counter, the ended session. ARGV: the member, our token, "keep" to leave the data.
-- Replies: whether the claim was ours.
if tonumber(redis.call('ZSCORE', index, ARGV[1])) ~= tonumber(ARGV[2]) then
  return 0
end
redis.call('ZREM', index, ARGV[1])
if ARGV[3] ~= 'keep' then
  redis.call('DEL', session)
end
return 1
