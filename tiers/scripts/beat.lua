-- SPDX-License-Identifier: BSD-3-Clause
-- The beat: decides the epoch, takes a seq, proves that this Redis writes, and says so to all nodes. See tiers/beat.h.
--
-- Fixed text; what varies comes as ARGV:
--   1 coherence-db     2 largest epoch counter the caller knows     3 random of a new epoch, 8 bytes
--   4 node             5 deadline of the node's record, in ms       6 the frame to publish; empty: a greeting
--   7 ... a command that the frame announces, if there is one: Redis itself says nothing of SWAPDB. With SELECT and a
--     database in front if it matters in which one it runs
-- or, for a check, ARGV[6] = 'CHECK', and
--   2, 3 counter and random of the epoch that must stand            4, 5 unused
-- Answer: { epoch counter, epoch random, seq, 1 if this call began the epoch, run_id, replication id }, or the command's own.
--
-- A check changes nothing, tells nobody and begins no epoch: where another call would begin one, and where another one
-- stands, its answer has counter 0, and what differs in the place of the random.
--
-- The keys are the nodes' own. A client that may write may overwrite them, too, in this database or by SWAPDB: what is no
-- record of ours, by type or by value, is as good as missing. It is replaced, and a new epoch begins.
--
-- Counters are Lua numbers, exact to 2^53; the random is a byte string and never a number.
redis.call('SELECT', ARGV[1]) -- of this script only: the connection's own database stays

local replication = redis.call('INFO', 'replication')
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
local replid = string.match(replication, 'master_replid:(%x+)')
local replid2 = string.match(replication, 'master_replid2:(%x+)')
if not (run and replid and replid2) then
    return redis.error_reply('ERR terrace: INFO shows no run_id or no master_replid')
end
if string.match(replication, 'role:(%a+)') ~= 'master' then -- a replica may have been made writable
    return redis.error_reply('READONLY terrace: this Redis is not a master')
end

local function mistyped(reply)
    return type(reply) == 'table' and reply.err and string.find(reply.err, 'WRONGTYPE', 1, true)
end

local check = ARGV[6] == 'CHECK'
if check then
    -- A write that finds nothing to do: Redis refuses it as it would any other (READONLY, NOREPLICAS), and no one hears
    -- of it. DEL is allowed when memory is full, and a failed save (MISCONF) says nothing about who is master: there,
    -- as on Redis itself, reads go on.
    local wrote = redis.pcall('DEL', 'terrace:nothing')
    if type(wrote) == 'table' and not string.find(wrote.err, 'MISCONF', 1, true) then
        return wrote
    end
else
    -- The node's record comes first: should Redis refuse to write (READONLY, NOREPLICAS, OOM), nothing else has happened.
    local recorded = redis.pcall('HSET', 'terrace:nodes', ARGV[4], ARGV[5])
    if mistyped(recorded) then
        redis.call('DEL', 'terrace:nodes')
        redis.call('HSET', 'terrace:nodes', ARGV[4], ARGV[5])
    elseif type(recorded) == 'table' then
        return recorded
    end
end

local known = tonumber(ARGV[2])
local meta = redis.pcall('HMGET', 'terrace:meta', 'epoch', 'rand', 'run', 'replid')
local last = redis.pcall('GET', 'terrace:seq')
for _, reply in ipairs({ meta, last }) do
    if type(reply) == 'table' and reply.err and not mistyped(reply) then
        return reply
    end
end
local counter, random = 0, meta[2]
if meta[1] and #meta[1] <= 14 and string.match(meta[1], '^%d+$') then
    counter = tonumber(meta[1])
end
-- Nobody comes so far by counting. Believed, one write of a client would end the order of seqs (base_of), or leave no
-- larger counter for the next epoch. Who is near it already, or knows none, goes on with it.
if known > 0 and counter > known + 1048576 then
    counter = 0
end

-- Every seq of an epoch is above all of the epochs before: who holds one of them waits for what came later still, also on
-- a node that has not heard of the new epoch (WAITSEQ, ATLEAST).
local function base_of(epoch)
    return epoch < 2097152 and epoch * 4294967296 or 0
end

local counts = type(last) == 'string' and #last <= 16 and string.match(last, '^%d+$') and tonumber(last) < 9007199254740992
local why -- a new epoch must begin
if counter == 0 or not random or #random ~= 8 then
    why = 'terrace:meta is missing or not ours'
elseif counter < known then -- rolled back: somebody saw more than is left
    why = string.format('the epoch is %d, and %d was seen', counter, known)
elseif meta[3] ~= run then
    why = 'another process has the data: its run_id is ' .. run
elseif meta[4] ~= replid and string.find(replid2, '[^0]') then -- all zeros: the first replica came, no loss
    why = 'it was promoted: its replication id is ' .. replid
elseif not counts or tonumber(last) < base_of(counter) then -- evicted, deleted by hand, or overwritten
    why = 'terrace:seq is missing or not ours'
end

if check then
    if not why and counter ~= known then
        why = string.format('the epoch is %d, not %d', counter, known)
    elseif not why and random ~= ARGV[3] then
        why = string.format('another epoch has the number %d', counter)
    end
    if why then
        return { 0, why, 0, 0, run, replid }
    end
end

local began = 0
if why then
    began = 1
    counter = math.max(counter, known) + 1
    random = ARGV[3]
    redis.call('DEL', 'terrace:log')
    if mistyped(meta) then
        redis.call('DEL', 'terrace:meta')
    end
    redis.call('HSET', 'terrace:meta', 'epoch', counter, 'rand', random)
    local base = base_of(counter)
    if not counts or tonumber(last) < base then
        last = string.format('%.0f', base)
        redis.call('SET', 'terrace:seq', last)
    end
end
-- The log (replay.h): nothing of the epoch is older than its first record, so that what is in front of it can be seen to be
-- gone. Its id is in front of that of the next frame. If it cannot be written, nothing can be replayed, no more.
if began == 1 then
    redis.pcall('XADD', 'terrace:log', last .. '-1', 'epoch', counter)
end
if not check and (began == 1 or meta[4] ~= replid) then
    redis.call('HSET', 'terrace:meta', 'run', run, 'replid', replid)
end

local frame = ARGV[6]
if check or #frame == 0 then
    return { counter, random, tonumber(last), began, run, replid }
end

local seq = redis.call('INCR', 'terrace:seq')
if seq % 1024 == 0 then -- nodes that left an hour ago and more; clocks of nodes differ by less
    local nodes = redis.call('HGETALL', 'terrace:nodes')
    local oldest = tonumber(ARGV[5]) - 3600000
    for i = 1, #nodes, 2 do
        if (tonumber(nodes[i + 1]) or 0) < oldest then
            redis.call('HDEL', 'terrace:nodes', nodes[i])
        end
    end
end

-- Bytes 16 to 39 of the frame: what only Redis knows.
local said = string.sub(frame, 1, 16) .. struct.pack('<I8', counter) .. random .. struct.pack('<I8', seq) .. string.sub(frame, 41)
local kind = string.sub(frame, 3, 3)
if kind == 'F' then -- beats are not worth an entry
    local id = string.format('%.0f-0', seq)
    if type(redis.pcall('XADD', 'terrace:log', 'MAXLEN', '~', 16384, id, 'f', said)) == 'table' then
        redis.call('DEL', 'terrace:log') -- not ours, or ahead of us: a log that begins here is one that is known to
        redis.pcall('XADD', 'terrace:log', id, 'f', said) -- lack what came before
    end
end
redis.call('PUBLISH', 'terrace:bus', said)
if ARGV[7] and kind == 'F' then -- a database ends whole: what is being loaded is older (managed.lua)
    redis.call('HSET', 'terrace:meta', 'flushed', string.format('%.0f', seq))
end
-- Last, so that what goes wrong before it changes nothing: at worst the nodes were told for nothing.
if ARGV[7] == 'SELECT' then
    redis.call('SELECT', ARGV[8])
    return redis.pcall(unpack(ARGV, 9))
elseif ARGV[7] then
    return redis.pcall(unpack(ARGV, 7))
end
return { counter, random, seq, began, run, replid }
