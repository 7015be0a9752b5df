"""What Redis does in one step, in Lua. `redis.py` loads these and knows their arguments.

A claim is a string of 32 bytes under its device: 16 digits of stamp (microseconds of Redis' own clock), 8 bytes of
gateway, 8 of session. An account has a sorted set of its devices with the millisecond at which each claim expires;
members of those that are over are left to expire with the set, and nobody counts them.
https://redis.io/docs/latest/develop/programmability/lua-api/
"""

from __future__ import annotations

from typing import Final

STAMP_BYTES: Final = 16

REGISTER: Final = """
-- KEYS: claim and account, for each. ARGV: gateway, milliseconds to live; then for each: device, session,
-- and its stamp, or 'new', or minus its age in microseconds. Returns for each: stamp or '', the other holder or ''.
local now = redis.call('TIME')
local us = now[1] * 1000000 + now[2]
local ttl = tonumber(ARGV[2])
local ends = math.floor(us / 1000) + ttl
local answers = {}
for i = 1, #KEYS / 2 do
  local key, account = KEYS[2 * i - 1], KEYS[2 * i]
  local device, session, asked = ARGV[3 * i], ARGV[3 * i + 1], ARGV[3 * i + 2]
  local mine = ARGV[1] .. session
  local there = redis.call('GET', key)
  local held, holder = 0, ''
  if there then
    held = tonumber(string.sub(there, 1, 16))
    holder = string.sub(there, 17)
  end
  local stamp = held
  local other = ''
  if holder ~= mine then
    if asked == 'new' then
      stamp = math.max(us, held + 1)
    else
      stamp = tonumber(asked)
      if stamp <= 0 then stamp = us + stamp end
    end
    other = holder
  end
  if stamp > held or holder == mine then
    local text = string.format('%016.0f', stamp)
    redis.call('SET', key, text .. mine, 'PX', ttl)
    redis.call('ZADD', account, ends, device)
    redis.call('PEXPIRE', account, ttl)
    answers[2 * i - 1] = text
  else
    answers[2 * i - 1] = ''
  end
  answers[2 * i] = other
end
return answers
"""

RELEASE: Final = """
-- KEYS: claim and account, for each. ARGV: gateway; then for each: device, session.
for i = 1, #KEYS / 2 do
  local there = redis.call('GET', KEYS[2 * i - 1])
  if there and string.sub(there, 17) == ARGV[1] .. ARGV[2 * i + 1] then
    redis.call('DEL', KEYS[2 * i - 1])
    redis.call('ZREM', KEYS[2 * i], ARGV[2 * i])
  end
end
return 0
"""

ONLINE: Final = """
-- KEYS: accounts. Returns how many devices each has connected.
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local counts = {}
for i, account in ipairs(KEYS) do
  counts[i] = redis.call('ZCOUNT', account, '(' .. string.format('%.0f', ms), '+inf')
end
return counts
"""
