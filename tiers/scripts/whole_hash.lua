-- SPDX-License-Identifier: BSD-3-Clause
-- A hash as HSCAN tells one that ends in its first step; of one that is larger than wanted not a byte leaves Redis. See
-- tiers/flight_ask.c. Nothing is changed.
--
-- KEYS 1 the hash     ARGV 1 how many fields it may have   2 how many bytes, names and values together
-- Answer: {'0', {field, value ...}}, {'1', {}} of what is larger, or the error of a key that is no hash.
local fields = redis.pcall('HLEN', KEYS[1])
if type(fields) == 'table' then
    return fields
elseif fields > tonumber(ARGV[1]) then
    return { '1', {} }
end
local left = tonumber(ARGV[2])
for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
    left = left - #field - redis.call('HSTRLEN', KEYS[1], field)
    if left < 0 then
        return { '1', {} }
    end
end
return { '0', redis.call('HGETALL', KEYS[1]) }
