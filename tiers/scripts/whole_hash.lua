-- SPDX-License-Identifier: BSD-3-Clause
-- A hash as HSCAN tells one that ends in its first step; of one that is larger than wanted not a byte leaves Redis. See
-- tiers/flight_ask.c. Nothing is changed.
--
-- KEYS 1 the hash     ARGV 1 how many fields it may have   2 how many bytes, names and values together
-- Answer: {'0', {field, value ...}}, {'1', {}} of what is larger, or an error: of a key that is no hash, or a right that lacks.
local LARGER = { '1', {} }
local fields = redis.pcall('HLEN', KEYS[1])
if type(fields) == 'table' then
    return fields
elseif fields > tonumber(ARGV[1]) then
    return LARGER
end
-- What it takes in memory is never less than its bytes, but for small numbers, and found without a copy of them; it is more by
-- up to a quarter, to which jemalloc rounds a size, and what a field takes for itself.
local used = redis.pcall('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', '0') or 0
if type(used) == 'table' then -- a right that the node's user may lack: then name by name, also without a copy of values
    used = 0
    for _, field in ipairs(redis.call('HKEYS', KEYS[1])) do
        used = used + #field + redis.call('HSTRLEN', KEYS[1], field)
    end
end
if used > ARGV[2] * 1.25 + 128 * fields + 1024 then
    return LARGER
end
local all, left = redis.call('HGETALL', KEYS[1]), tonumber(ARGV[2])
for _, word in ipairs(all) do
    left = left - #word
end
return left < 0 and LARGER or { '0', all }
