-- SPDX-License-Identifier: BSD-3-Clause
-- Writes of managed keys, several in one call: numbered, logged, published, then done. See tiers/managed_write.h.
--
-- Fixed text; what varies comes as ARGV:
--   1 coherence-db     2, 3 counter and random of the epoch that must stand     4 entries that the log keeps, about
--   5 the frame that names the keys, and from 6 on the commands, each in some arguments:
--     P.. key px rest    the value is head, the version, rest; px 0: no end
--     D.. key            gone
--     E.. key px         fresh px ms from now on (-1: no end), and then as long as its envelope says
--     S.. key            invalidated softly; gone, if it is no envelope
--     A   n              the n that follow are done all or none
-- In the first argument, behind the letter: the database, one byte; of P head, 8 bytes; then nothing, or V and 8 bytes: only if what stands has
-- this version, or N and 8 bytes, and 8 more: only if what stands is not newer, and nothing was invalidated by tag or prefix (ban.lua)
-- behind the seq in the latter, which is of this epoch; or L and a token: only if the key's lease holds it.
--
-- Answer: { seq, one for each command }: 1 done; 2 done, but nothing stood there; 0 the version differs (of those that are
-- done all or none: of one of them); -1 the lease is lost, or something was invalidated; or its own error, which stops no other. { 0 }: the epoch is
-- another one, and nothing was done. An error as the whole answer: nothing was done either.
--
-- The log and the bus come first: what goes wrong there changes no value. What is logged or published for nothing costs
-- the nodes one question per key.
local call, pcall = redis.call, redis.pcall
local sub, pack = string.sub, struct.pack

local MAGIC = '\245TE\1'
local NEGATIVE = 3 -- the kind of an envelope that says there is nothing
local NOTHING, FOREIGN = string.rep('\0', 8), string.rep('\255', 8)
local OTHER = '\254' .. string.rep('\255', 7) -- what stands is no string
local WIDTH = { P = 4, D = 2, E = 3, S = 2, A = 2 }

call('SELECT', ARGV[1]) -- of this script only: the connection's own database stays

local function says(reply, what)
    return type(reply) == 'table' and reply.err and string.find(reply.err, what, 1, true)
end

-- --- the number ------------------------------------------------------------------------------------------------------

local meta = pcall('HMGET', 'terrace:meta', 'epoch', 'rand')
if meta.err and not says(meta, 'WRONGTYPE') then
    return meta
end
if meta[1] ~= ARGV[2] or meta[2] ~= ARGV[3] then
    return { 0 }
end

local function frees_some()
    local i = 6
    while ARGV[i] do
        local op = sub(ARGV[i], 1, 1)
        if op ~= 'P' and op ~= 'A' then
            return true
        end
        i = i + WIDTH[op]
    end
    return false
end

local seq = pcall('INCR', 'terrace:seq')
local full -- no memory: what takes some gets this answer; what frees some is done, as Redis itself does it
if says(seq, 'OOM ') then
    full = seq
    if not frees_some() then
        return full
    end
    call('DEL', 'terrace:nothing') -- Redis lets a script go on that has begun to write
    seq = pcall('INCR', 'terrace:seq')
end
local counter = tonumber(ARGV[2])
local base = counter < 2097152 and counter * 4294967296 or 0 -- as beat.lua counts
if type(seq) == 'table' then
    if says(seq, 'WRONGTYPE') or says(seq, 'not an integer') or says(seq, 'would overflow') then
        return { 0 } -- the next beat begins an epoch
    end
    return seq
elseif seq <= base or seq == 1 or seq >= 9007199254740992 then -- it was evicted, deleted or overwritten
    call('DEL', 'terrace:seq')
    return { 0 }
end

local frame = sub(ARGV[5], 1, 16) .. pack('<I8', counter) .. ARGV[3] .. pack('<I8', seq) .. sub(ARGV[5], 41)
local id = string.format('%.0f-0', seq)
if type(pcall('XADD', 'terrace:log', 'MAXLEN', '~', ARGV[4], id, 'f', frame)) == 'table' then -- not ours, or out of order
    call('DEL', 'terrace:log')
    call('XADD', 'terrace:log', id, 'f', frame)
end
call('PUBLISH', 'terrace:bus', frame)

-- --- the commands ----------------------------------------------------------------------------------------------------

local own = pack('<I8', seq)
local current = ARGV[1]
local answers, told = { seq }, 1
local leases, lease_count = {}, 0 -- of the keys that are written

local function use(db)
    if db ~= current then
        call('SELECT', db)
        current = db
    end
end

-- All that is no put without a condition. Made when the first such comes: closures are dear, and most calls need none of them.
-- Does the command at argument i, and returns where the next one begins.
local function everything_else()
    local ended, ended_count = {}, 0 -- so many of leases

    local function database(i)
        return string.format('%d', string.byte(ARGV[i], 2))
    end

    local function lease_of(i)
        return 'terrace:lease:' .. database(i) .. ':' .. ARGV[i + 1]
    end

    local function end_lease(i)
        lease_count = lease_count + 1
        leases[lease_count] = lease_of(i)
    end

    local function has_ended(name)
        while ended_count < lease_count do
            ended_count = ended_count + 1
            ended[leases[ended_count]] = true
        end
        return ended[name]
    end

    -- Its version, and the beginning of its envelope; or an error.
    local function standing(key)
        local head = pcall('GETRANGE', key, 0, 31)
        if type(head) == 'table' then
            return says(head, 'WRONGTYPE') and OTHER or head
        elseif head == '' then
            return NOTHING
        elseif #head < 32 or sub(head, 1, 4) ~= MAGIC then
            return FOREIGN
        end
        return sub(head, 9, 16), head
    end

    local function is_negative(head)
        return string.byte(head, 6) == NEGATIVE
    end

    -- Whether all invalidations up to now are known to who has judged up to there. Clients may write into terrace:meta: no number
    -- that this epoch has given is none.
    local banned
    local function is_judged(judged)
        if not banned then
            use(ARGV[1])
            local known = pcall('HMGET', 'terrace:meta', 'banned')[1]
            banned = type(known) == 'string' and #known <= 16 and tonumber(known) or 0
            banned = banned <= seq and banned or 0
        end
        return judged > base and judged >= banned
    end

    -- The seq of the last FLUSHDB or SWAPDB through a node (beat.lua), in whichever database.
    local function flushed_at()
        local flushed = call('HGET', 'terrace:meta', 'flushed')
        local at = flushed and #flushed <= 16 and string.match(flushed, '^%d+$') and tonumber(flushed) or 0
        return at < seq and at or 0 -- nobody's else
    end

    -- Why the command is not done, as its answer; else nil, and the version of what it puts.
    local function refused(i)
        local at = string.byte(ARGV[i]) == 80 and 11 or 3 -- behind head
        local condition, wanted = sub(ARGV[i], at, at), sub(ARGV[i], at + 1)
        if condition == 'V' then
            use(database(i))
            local version = standing(ARGV[i + 1])
            if type(version) == 'table' then
                return version
            elseif version ~= wanted then
                return 0
            end
        elseif condition == 'N' then
            local newest, judged = struct.unpack('<I8I8', wanted)
            if not is_judged(judged) then
                return -1
            end
            use(database(i))
            local version = standing(ARGV[i + 1])
            if version == OTHER then -- what is no string is no newer write of a node, and goes as by any SET
                return nil, own
            elseif type(version) == 'table' then
                return version
            elseif version ~= FOREIGN and struct.unpack('<I8', version) > newest then
                return 0
            end
        elseif condition == 'L' then
            use(ARGV[1])
            local name = lease_of(i)
            local lease = not has_ended(name) and pcall('GET', name)
            if type(lease) ~= 'string' then
                return -1
            end
            local token, won = string.match(lease, '^([^:]*):(%d+)')
            if token ~= wanted or tonumber(won) < flushed_at() then
                return -1
            end
            return nil, pack('<I8', tonumber(won))
        end
        return nil, own
    end

    local ACTS = {}

    function ACTS.P(i, version)
        if full then
            return full
        end
        local value = sub(ARGV[i], 3, 10) .. version .. ARGV[i + 3]
        end_lease(i)
        if ARGV[i + 2] == '0' then
            return pcall('SET', ARGV[i + 1], value)
        end
        return pcall('SET', ARGV[i + 1], value, 'PX', ARGV[i + 2])
    end

    function ACTS.D(i)
        local _, head = standing(ARGV[i + 1])
        end_lease(i)
        local reply = pcall('UNLINK', ARGV[i + 1])
        return reply, reply == 0 or (head and is_negative(head))
    end

    function ACTS.E(i)
        local key, px = ARGV[i + 1], tonumber(ARGV[i + 2])
        local version, head = standing(key)
        if type(version) == 'table' or version == NOTHING then
            return version, true
        end
        local spare, fresh = 0, 0
        if head and px >= 0 then
            local swr, sie = struct.unpack('<I4I4', sub(head, 25))
            fresh, spare = px, math.max(swr, sie)
        end
        local reply = px < 0 and pcall('PERSIST', key) or pcall('PEXPIRE', key, string.format('%.0f', px + spare))
        if type(reply) == 'table' then
            return reply
        end
        return head and pcall('SETRANGE', key, 16, pack('<I8', fresh))
    end

    function ACTS.S(i)
        local version, head = standing(ARGV[i + 1])
        end_lease(i)
        if not head and (version == FOREIGN or version == OTHER) then -- it has no place for the mark
            return pcall('UNLINK', ARGV[i + 1])
        end
        if type(version) == 'table' or not head or is_negative(head) or string.byte(head, 5) ~= 0 then
            return version, true
        end
        return pcall('SETRANGE', ARGV[i + 1], 4, '\1')
    end

    local function act(i, version)
        use(database(i))
        local reply, nothing = ACTS[sub(ARGV[i], 1, 1)](i, version)
        if type(reply) == 'table' and reply.err then
            return reply
        end
        return nothing and 2 or 1
    end

    -- Those from argument i on, `count` of them; returns where the next begins.
    local function all_or_none(i, count)
        local from, why = i, nil
        for _ = 1, count do
            why = why or refused(i) or (full and sub(ARGV[i], 1, 1) == 'P' and full)
            i = i + WIDTH[sub(ARGV[i], 1, 1)]
        end
        i = from
        for _ = 1, count do
            told = told + 1
            answers[told] = why or act(i, own)
            i = i + WIDTH[sub(ARGV[i], 1, 1)]
        end
        return i
    end

    return function(i)
        if ARGV[i] == 'A' then
            return all_or_none(i + 2, tonumber(ARGV[i + 1]))
        end
        local why, version = refused(i)
        told = told + 1
        answers[told] = why or act(i, version)
        return i + WIDTH[sub(ARGV[i], 1, 1)]
    end
end

-- A put without a condition: most writes by far, so with as little around it as can be. What the last one began with, its
-- database, how the names of its leases begin, and the beginning of its value:
local what, db, lease, head
local other

local i = 6
while ARGV[i] do
    local first = ARGV[i]
    if first ~= what and #first == 10 and string.byte(first) == 80 and not full then
        what, db = first, string.format('%d', string.byte(first, 2))
        lease, head = 'terrace:lease:' .. db .. ':', sub(first, 3) .. own
    end
    if first == what then
        local key, px, reply = ARGV[i + 1], ARGV[i + 2], nil
        if current ~= db then
            use(db)
        end
        lease_count = lease_count + 1
        leases[lease_count] = lease .. key
        if px == '0' then
            reply = pcall('SET', key, head .. ARGV[i + 3])
        else
            reply = pcall('SET', key, head .. ARGV[i + 3], 'PX', px)
        end
        told = told + 1
        answers[told] = reply.err and reply or 1
        i = i + 4
    else
        other = other or everything_else()
        i = other(i)
    end
end

use(ARGV[1])
for at = 1, lease_count, 1000 do
    pcall('DEL', unpack(leases, at, math.min(at + 999, lease_count)))
end
return answers
