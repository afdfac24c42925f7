-- SPDX-License-Identifier: BSD-3-Clause
-- What was invalidated, as Redis itself knows it: for a node that may have missed bans. See tiers/verdict.h.
--
--   1 coherence-db     2, 3 counter and random of the epoch in which the node knew all bans     4 up to which seq
--   5 version of the value     6 1: it has no envelope     7 name of its namespace     8 the key     9 ... its tags
-- Answer: NONE (no ban behind that seq binds it), SOFT, HARD, or UNKNOWN. Nothing is changed.
--
-- terrace:tags is what ban.lua keeps; terrace:meta has `banned` and `listed`, the seqs of the newest ban and of the newest
-- that is found by no name (a glob, a conjunction).
redis.call('SELECT', ARGV[1]) -- of this script only: the connection's own database stays

local UNKNOWN = redis.status_reply('UNKNOWN')
local meta = redis.pcall('HMGET', 'terrace:meta', 'epoch', 'rand', 'banned', 'listed')
if meta[1] ~= ARGV[2] or meta[2] ~= ARGV[3] then
    return UNKNOWN -- an error has no elements: a record that is not ours counts as none
end

local last = redis.pcall('GET', 'terrace:seq')
last = type(last) == 'string' and tonumber(last) or 0

local hard, soft, broken = 0, 0, false
local function look(rows)
    for _, row in ipairs(rows) do
        local a, b = math.huge, math.huge
        if row and #row == 24 then
            a, b = struct.unpack('<I8I8', row)
        end
        if row and (a > last or b > last) then -- none of ours: no such seq was given to anybody yet (ban.lua)
            broken = true
        elseif row then
            hard, soft = math.max(hard, a), math.max(soft, b)
        end
    end
end

-- What finds the field of a lost table missing cannot know what else is.
local version, is_foreign, ns, key = tonumber(ARGV[5]), ARGV[6] == '1', ARGV[7], ARGV[8]
local lost = redis.pcall('HGET', 'terrace:tags', 'L\0')
if type(lost) ~= 'string' or #lost ~= 24 then
    return UNKNOWN
elseif not is_foreign then
    look({ lost })
end

local function number(text) -- of what is no number nothing is known
    return text and (tonumber(text) or math.huge) or 0
end
local known, banned, listed = tonumber(ARGV[4]), number(meta[3]), number(meta[4])
local is_news = banned > known and banned > version
if is_news and #key > 256 then
    return UNKNOWN -- it has a row to be looked up for each of its bytes, twice: milliseconds, in which Redis does nothing else
elseif is_news then
    local names = {}
    local function add(kind, text)
        names[#names + 1] = kind .. '\0' .. text
        names[#names + 1] = kind .. string.char(#ns) .. ns .. text
    end
    for i = 9, #ARGV do
        add('T', ARGV[i])
    end
    for size = 0, math.min(#key, 1024) do
        add('P', string.sub(key, 1, size))
    end
    look(redis.call('HMGET', 'terrace:tags', unpack(names)))
end

if version < hard then
    return redis.status_reply('HARD')
elseif broken or (is_news and (is_foreign or (listed > known and listed > version))) then
    return UNKNOWN
end
return redis.status_reply(version < soft and 'SOFT' or 'NONE')
