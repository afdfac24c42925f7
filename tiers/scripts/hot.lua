-- SPDX-License-Identifier: BSD-3-Clause
-- hot.lua -- puts a node's list of hot keys (hot_list.h) where the others find it, in one atomic step; the pages that it names
-- (held.h) stay as long as the list, those that it does not name a while for who reads them.
--
-- KEYS 1 terrace:hot: a field per node, its list   2 terrace:hot:at: when each was written, by L2's clock
--      3 terrace:hot:held:<node>:<n>: the pages that the list names, if it names any   4 the others
--      5 terrace:hot:held: which nodes have pages, and when they said so last
-- ARGV 1 node   2 list   3 for how many ms a list is of use   4 how many there may be
--      5 for how many ms pages stay that no list names   6 1: the list names pages
local us = string.match(redis.call('INFO', 'server'), 'server_time_usec:(%d+)') -- the documented user may not say TIME
if not us then
    local time = redis.call('TIME')
    us = string.format('%d%06d', time[1], time[2])
end
local now = math.floor(tonumber(us) / 1000)
local linger = tonumber(ARGV[5])
for i, kind in pairs({ 'hash', 'zset', [5] = 'zset' }) do
    local is = redis.call('TYPE', KEYS[i]).ok
    if is ~= kind and is ~= 'none' then
        redis.call('DEL', KEYS[i])
    end
end
if redis.call('HLEN', KEYS[1]) ~= redis.call('ZCARD', KEYS[2]) then
    redis.call('DEL', KEYS[1], KEYS[2]) -- somebody else wrote there: nobody would ever remove it
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], now, ARGV[1])
local over = redis.call('ZCOUNT', KEYS[2], '-inf', now - ARGV[3])
over = math.max(over, redis.call('ZCARD', KEYS[2]) - ARGV[4])
for _, node in ipairs(over > 0 and redis.call('ZRANGE', KEYS[2], 0, over - 1) or {}) do
    redis.call('HDEL', KEYS[1], node)
    redis.call('ZREM', KEYS[2], node)
    redis.call('DEL', KEYS[5] .. ':' .. node .. ':0', KEYS[5] .. ':' .. node .. ':1')
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
local unnamed = { KEYS[4] }
if ARGV[6] == '1' then
    redis.call('PEXPIRE', KEYS[3], ARGV[3])
    redis.call('PEXPIRE', KEYS[5], ARGV[3])
    redis.call('ZADD', KEYS[5], 'XX', now, ARGV[1])
else
    unnamed[2] = KEYS[3]
end
for _, pages in ipairs(unnamed) do
    if redis.call('TTL', pages) * 1000 > linger then -- seconds do
        redis.call('PEXPIRE', pages, linger)
    end
end
return over
