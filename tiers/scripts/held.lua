-- SPDX-License-Identifier: BSD-3-Clause
-- held.lua -- puts a page of what a node's L1 holds (held.h) where the others find it when all are there: 1. 0: so many other
-- nodes that live have pages that Redis' memory is not used for more.
--
-- KEYS 1 terrace:hot:held:<node>:<0 or 1>: a field per page   2 terrace:hot:held: which nodes have pages, and when they said so last
-- ARGV 1 page, from 0 on   2 its bytes   3 for how many ms it stays unless hot.lua names it   4 node   5 how many nodes there may be
local us = string.match(redis.call('INFO', 'server'), 'server_time_usec:(%d+)') -- the documented user may not say TIME
if not us then
    local time = redis.call('TIME')
    us = string.format('%d%06d', time[1], time[2])
end
local now = math.floor(tonumber(us) / 1000)
local is = redis.call('TYPE', KEYS[2]).ok
if is ~= 'zset' and is ~= 'none' then
    redis.call('DEL', KEYS[2])
end
if not redis.call('ZSCORE', KEYS[2], ARGV[4]) and redis.call('ZCARD', KEYS[2]) >= tonumber(ARGV[5]) then
    local oldest = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
    if tonumber(oldest[2]) > now - ARGV[3] then
        return 0
    end
    redis.call('ZREM', KEYS[2], oldest[1])
    redis.call('DEL', KEYS[2] .. ':' .. oldest[1] .. ':0', KEYS[2] .. ':' .. oldest[1] .. ':1')
end
redis.call('ZADD', KEYS[2], now, ARGV[4])
if redis.call('TTL', KEYS[2]) * 1000 < tonumber(ARGV[3]) then -- a list that names pages makes it longer
    redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
if ARGV[1] == '0' then
    redis.call('DEL', KEYS[1]) -- the writing before the last one, or what strangers left there
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
