-- SPDX-License-Identifier: BSD-3-Clause
-- The beat: decides the epoch, takes a seq, proves that this Redis writes, and says so to all nodes. See tiers/beat.h.
--
-- Fixed text; what varies comes as ARGV:
--   1 coherence-db     2 largest epoch counter the caller knows     3 random of a new epoch, 8 bytes
--   4 node             5 deadline of the node's record, in ms       6 the frame to publish; empty: a greeting
--   7 ... a command that the frame announces, if there is one: Redis itself says nothing of SWAPDB
-- Answer: { epoch counter, epoch random, seq, 1 if this call began the epoch }, or the command's own.
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

-- The node's record comes first: should Redis refuse to write (READONLY, NOREPLICAS, OOM), nothing else has happened.
redis.call('HSET', 'terrace:nodes', ARGV[4], ARGV[5])

local known = tonumber(ARGV[2])
local meta = redis.call('HMGET', 'terrace:meta', 'epoch', 'rand', 'run', 'replid')
local counter, random = 0, meta[2]
if meta[1] and #meta[1] <= 15 and string.match(meta[1], '^%d+$') then
    counter = tonumber(meta[1])
end

local began = 0
if counter == 0 or not random or #random ~= 8           -- no meta, or not ours
    or counter < known                                  -- rolled back: somebody saw more than is left
    or meta[3] ~= run                                   -- another process
    or (meta[4] ~= replid and string.find(replid2, '[^0]')) -- promoted; all zeros: the first replica came, no loss
    or redis.call('EXISTS', 'terrace:seq') == 0 then    -- evicted, or deleted by hand
    began = 1
    counter = math.max(counter, known) + 1
    random = ARGV[3]
    redis.call('DEL', 'terrace:log')
    redis.call('HSET', 'terrace:meta', 'epoch', counter, 'rand', random)
    redis.call('SETNX', 'terrace:seq', 0)
end
if began == 1 or meta[4] ~= replid then
    redis.call('HSET', 'terrace:meta', 'run', run, 'replid', replid)
end

local frame = ARGV[6]
if #frame == 0 then
    local seq = tonumber(redis.call('GET', 'terrace:seq'))
    if not seq then
        return redis.error_reply('ERR terrace:seq is not a number')
    end
    return { counter, random, seq, began }
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
redis.call('PUBLISH', 'terrace:bus',
    string.sub(frame, 1, 16) .. struct.pack('<I8', counter) .. random .. struct.pack('<I8', seq) .. string.sub(frame, 41))
-- Last, so that what goes wrong before it changes nothing: at worst the nodes were told for nothing.
if ARGV[7] then
    return redis.pcall(unpack(ARGV, 7))
end
return { counter, random, seq, began }
