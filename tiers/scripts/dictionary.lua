-- SPDX-License-Identifier: BSD-3-Clause
-- dictionary.lua -- brings a dictionary of a namespace in (dictionary_desk.h), in one atomic step.
--
-- KEYS 1 terrace:dict:<namespace>   ARGV 1 the number that is current, as the node saw it, or nothing
--                                        2 number   3 bytes   4 how many there may be
-- Answers the number that is current then.
local current = redis.call('HGET', KEYS[1], 'current') or ''
if current ~= ARGV[1] then
    return current
end
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 0 and redis.call('HLEN', KEYS[1]) > tonumber(ARGV[4]) then
    return current
end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3], 'current', ARGV[2])
return ARGV[2]
