-- SPDX-License-Identifier: BSD-3-Clause
-- Invalidations by tag, prefix and pattern: numbered, logged, published, and kept in terrace:tags. See tiers/ban_script.h.
--
-- Fixed text; what varies comes as ARGV:
--   1 coherence-db     2 what to do     3 entries that the log keeps, about     4 a frame that says that the table was lost
-- and
--   ISSUE    5 a frame: what it says has the seq that it gets here          Answer: the seq
--   KNOW     5 a frame: what a node knew before this epoch                  Answer: the seq; 0: all of it was known here
--   LOAD     5 a cursor of HSCAN     6 the longest life of a value by this node's settings, ms; 0: for ever
--            Answer: { next cursor, entries, epoch counter, epoch random, the longest life that any node ever said }
--   CLEAN    5 entries, with the seqs that bind nothing any more            6 the longest life by which that was found
--            Answer: the longest life that any node ever said; if it is larger than that one, nothing was taken out
-- or EPOCH: there is none that could number anything, and nothing was done.
--
-- terrace:tags: name -> hard seq, soft seq, second of Redis' clock, 8 bytes each (names and entries: protocol/frame_ban.h).
-- Seqs only rise. The field of a lost table is always there: what finds it missing cannot know what else is, so everything
-- that was written before is invalid from then on: until the epoch began, if the table was not seen in it (the epochs
-- before had smaller seqs; the first has none before it), and otherwise until now. So it is with a row that is none of
-- ours, by its name or its value, or by a seq that was not given to anybody yet, which would bind what is still to be
-- written: nobody knows what stood there.
--
-- terrace:meta: `banned` is the seq of the newest of all bans, `listed` of the newest glob or conjunction, `life` the longest life that any node ever said.
--
-- The log and the bus come first: what goes wrong there changes nothing, and a node that heard for nothing asks again.
local call, pcall = redis.call, redis.pcall
local byte, sub, pack, unpack_ = string.byte, string.sub, struct.pack, struct.unpack

local TAGS, META, LOST = 'terrace:tags', 'terrace:meta', 'L\0'
local ENDLESS = 9007199254740991
local ROW, HEAD, HEAD_SIZE, FRAME_HEAD, FRAME_TAIL = '<I8I8I8', '<I2BBI4I8I8', 24, 64, 8

call('SELECT', ARGV[1]) -- of this script only: the connection's own database stays

local function says(reply, what)
    return type(reply) == 'table' and reply.err and string.find(reply.err, what, 1, true)
end

local meta = pcall('HMGET', META, 'epoch', 'rand', 'bans', 'life')
if meta.err and not says(meta, 'WRONGTYPE') then
    return meta
end
local EPOCH = redis.status_reply('EPOCH')
if not (meta[1] and meta[2] and #meta[1] <= 14 and string.match(meta[1], '^%d+$') and #meta[2] == 8) then
    return EPOCH
end
local counter, random = tonumber(meta[1]), meta[2]
local base = counter < 2097152 and counter * 4294967296 or 0 -- as beat.lua counts
-- Redis' clock. TIME is in no category of commands that the rights of a node name, so it is looked up where they allow it.
local clock = string.match(call('INFO', 'server'), 'server_time_usec:(%d+)%d%d%d%d%d%d') or call('TIME')[1]
local now = tonumber(clock)

-- The newest seq of all. What is no number binds nothing: then no row is believed.
local last = pcall('GET', 'terrace:seq')
last = type(last) == 'string' and #last <= 16 and string.match(last, '^%d+$') and tonumber(last) or 0

-- The seq; or nil and the answer of the script.
local function say(frame)
    local seq = pcall('INCR', 'terrace:seq')
    if says(seq, 'OOM ') then -- what is invalidated may free memory: Redis lets a script go on that has begun to write
        call('DEL', 'terrace:nothing')
        seq = pcall('INCR', 'terrace:seq')
    end
    if type(seq) == 'table' then
        if says(seq, 'WRONGTYPE') or says(seq, 'not an integer') or says(seq, 'would overflow') then
            return nil, EPOCH -- the next beat begins one
        end
        return nil, seq
    elseif seq <= base or seq == 1 or seq >= 9007199254740992 then -- it was evicted, deleted or overwritten
        call('DEL', 'terrace:seq')
        return nil, EPOCH
    end
    frame = sub(frame, 1, 16) .. pack('<I8', counter) .. random .. pack('<I8', seq) .. sub(frame, 41)
    local id = string.format('%.0f-0', seq)
    if type(pcall('XADD', 'terrace:log', 'MAXLEN', '~', ARGV[3], id, 'f', frame)) == 'table' then -- not ours, or out of order
        call('DEL', 'terrace:log')
        call('XADD', 'terrace:log', id, 'f', frame)
    end
    call('PUBLISH', 'terrace:bus', frame)
    call('HSET', META, 'banned', string.format('%.0f', seq))
    last = seq
    return seq
end

-- --- rows --------------------------------------------------------------------------------------------------------------

-- As bytes: Lua's own comparison follows the locale of the server.
local function precedes(a, b)
    for i = 1, math.min(#a, #b) do
        local x, y = byte(a, i), byte(b, i)
        if x ~= y then
            return x < y
        end
    end
    return #a < #b
end

local function is_conjunction(text)
    local at, count, before = 1, 0, ''
    while at <= #text do
        local size = byte(text, at)
        local tag = sub(text, at + 1, at + size)
        if size > 250 or #tag ~= size or not precedes(before, tag) then
            return false
        end
        at, count, before = at + 1 + size, count + 1, tag
    end
    return count >= 2 and count <= 64
end

local TEXT_MAX = { T = 250, P = 1024, G = 1024, C = 64 * 251, L = 0 }

-- As frame_ban_read_name: a node does not read what is no name.
local function is_name(name)
    local kind, ns_size = sub(name, 1, 1), byte(name, 2)
    if not TEXT_MAX[kind] or not ns_size or ns_size > 64 or #name < 2 + ns_size then
        return false
    end
    local text = sub(name, 3 + ns_size)
    return #text <= TEXT_MAX[kind] and (kind ~= 'T' or #text > 0) and (kind ~= 'L' or ns_size == 0) and
        (kind ~= 'C' or is_conjunction(text))
end

-- Hard seq, soft seq, second; nil: it is none of ours.
local function read(name, row)
    if #row == 24 and is_name(name) then
        local hard, soft, at = unpack_(ROW, row)
        if hard <= last and soft <= last then
            return hard, soft, at
        end
    end
    return nil
end

local function row_of(name)
    local row = call('HGET', TAGS, name)
    if row then
        return read(name, row)
    end
    return 0, 0, 0
end

local function keep(name, hard, soft, at)
    call('HSET', TAGS, name, pack(ROW, hard, soft, at))
end

-- Who looks up names (verdict.lua) finds no globs and conjunctions: he must know that there are some, said with this seq.
local function note(name, seq)
    if string.find(name, '^[GC]') then
        call('HSET', META, 'listed', string.format('%.0f', seq))
    end
end

-- --- the table is there ------------------------------------------------------------------------------------------------

local kind = call('TYPE', TAGS).ok
if kind ~= 'hash' and kind ~= 'none' then
    call('DEL', TAGS)
end
local function lose()
    local seq, why = say(ARGV[4])
    if seq then
        keep(LOST, seq, 0, now)
    end
    return why
end
if (row_of(LOST) or 0) == 0 then
    if base > 0 and meta[3] ~= meta[1] then
        keep(LOST, counter > 1 and base or 1, 0, now)
    else
        local why = lose()
        if why then
            return why
        end
    end
end
if meta[3] ~= meta[1] then
    call('HSET', META, 'bans', meta[1])
end

-- --- what to do --------------------------------------------------------------------------------------------------------

-- Calls act(name, flags, age, hard, soft) for each entry from byte `at` up to `last`.
local function each(bytes, at, last, act)
    while at <= last do
        local size, flags, _, age, hard, soft = unpack_(HEAD, bytes, at)
        at = at + HEAD_SIZE
        act(sub(bytes, at, at + size - 1), flags, age, hard, soft)
        at = at + size
    end
end

-- The rows of these names said something that nobody knows. Why nothing could be done, as the answer of the script; or nil.
local function give_up(names)
    local why = #names > 0 and lose() or nil
    for i = 1, why and 0 or #names do
        call('HDEL', TAGS, names[i])
    end
    return why
end

local ACTS = {}

function ACTS.ISSUE(frame)
    local rows, broken = {}, {}
    each(frame, FRAME_HEAD + 1, #frame - FRAME_TAIL, function(name, flags)
        local hard, soft = row_of(name)
        if not hard then
            broken[#broken + 1] = name
        end
        rows[#rows + 1] = { name = name, flags = flags, hard = hard or 0, soft = soft or 0 }
    end)
    local seq, why = nil, give_up(broken)
    if not why then
        seq, why = say(frame)
    end
    if why then
        return why
    end
    for _, row in ipairs(rows) do
        note(row.name, seq)
        keep(row.name, row.flags % 2 == 1 and seq or row.hard, row.flags >= 2 and seq or row.soft, now)
    end
    return seq
end

function ACTS.KNOW(frame)
    local news, broken = {}, {}
    each(frame, FRAME_HEAD + 1, #frame - FRAME_TAIL, function(name, _, age, hard, soft)
        local old_hard, old_soft, old_at = row_of(name)
        local is_given = hard <= last and soft <= last
        if not old_hard or not is_given then
            broken[#broken + 1] = name
            old_hard, old_soft, old_at = old_hard or 0, old_soft or 0, old_at or 0
        end
        if is_given and (hard > old_hard or soft > old_soft) then
            news[#news + 1] = { name, math.max(hard, old_hard), math.max(soft, old_soft), math.max(now - age, old_at) }
        end
    end)
    local why = give_up(broken)
    if why then
        return why
    elseif #news == 0 then
        return 0
    end
    local seq
    seq, why = say(frame)
    if not seq then
        return why
    end
    for _, row in ipairs(news) do
        note(row[1], seq)
        keep(unpack(row))
    end
    return seq
end

-- Values were written by the settings of their time, and of their node: a row that is taken out by smaller ones may still
-- bind some.
local function longest_life()
    local life, said = tonumber(ARGV[6]), meta[4] or ''
    life = life == 0 and ENDLESS or life
    local longest = #said <= 16 and string.match(said, '^%d+$') and math.min(tonumber(said), ENDLESS) or 0
    if life > longest then
        call('HSET', META, 'life', string.format('%.0f', life))
        return life, life
    end
    return longest, life
end

function ACTS.LOAD(cursor)
    local life = longest_life()
    local page = call('HSCAN', TAGS, cursor, 'COUNT', 500)
    local entries, broken = {}, {}
    for i = 1, #page[2], 2 do
        local name = page[2][i]
        local hard, soft, at = read(name, page[2][i + 1])
        if hard then
            entries[#entries + 1] = pack(HEAD, #name, 0, 0, math.max(now - at, 0), hard, soft) .. name
        else
            broken[#broken + 1] = name
        end
    end
    local why = give_up(broken)
    if why then
        return why
    end
    return { page[1], table.concat(entries), counter, random, life }
end

function ACTS.CLEAN(entries)
    local longest, life = longest_life()
    if longest > life then
        return longest
    end
    each(entries, 1, #entries, function(name, _, _, hard, soft)
        local old_hard, old_soft = row_of(name)
        if name ~= LOST and old_hard and old_hard <= hard and old_soft <= soft then
            call('HDEL', TAGS, name)
        end
    end)
    return longest
end

return ACTS[ARGV[2]](ARGV[5])
