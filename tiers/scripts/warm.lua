-- SPDX-License-Identifier: BSD-3-Clause
-- The queue of warm jobs: the only hand on terrace:warm:*. See tiers/warm_script.h.
--
--   1 coherence-db     2 verb     3 what the queue was born as, as the node knows it; empty: it does not
--   4 the node: its id, a space, and the address where its clients reach it     5... of the verb
-- Answer: { word, ... }; the words are in the functions below. GONE: the queue is another one, or has no such job.
--
-- terrace:warm:meta     hash: born (Redis' time when it began), last (id), version (of the last change), standing (version of those
--                       that stand), floor (what changed up to it may be forgotten), bytes
-- terrace:warm:nodes    zset: node -> until when its leases are good; BEAT renews all that a node holds in one step
-- terrace:warm:dead     hash: node whose lease is over -> the job up to which its part was taken from it
-- terrace:warm:jobs     zset: job -> its number, all that are shown     terrace:warm:open  zset: job that has not ended -> submitted
-- terrace:warm:changed  zset: job that is open, or has ended -> the version at which something changed for nodes
-- terrace:warm:due      zset: job -> when it fails: its deadline, or when the only node that can go on with it is missed for too long
-- terrace:warm:ended    zset: job -> when it ended          terrace:warm:standing   zset: standing job -> its number
-- terrace:warm:job:N    hash: the job and how far it is     terrace:warm:json:N     as it was submitted
-- terrace:warm:lanes:N  hash: lane -> its numbers           terrace:warm:failed:N   list of failures
-- terrace:warm:chunks:N hash: number -> keys, `n` and number -> how many
--
-- A job's keys become CHUNKS 0, 1, 2 ... by its PRODUCER; its LANES, one by the name of each node, or `l2` which belongs to
-- `owner`, go through them: "next from loaded skipped absent failed bytes rate yield before". Chunks that all lanes have done go when
-- there are more than KEPT, or no room in the queue, so a node that comes late begins with the oldest that is there (`from`; `before`
-- it were so many keys, which it has not to do). Some lane always began with chunk 0: when the last such has died the job begins again.
--
-- All of Redis waits for a call. So none looks at more than PAGE jobs: what concerns more is done by several (TAKE, SHOW, BEAT for
-- the dead), each of which says where the next goes on.
local KEPT, LEASE_MS, MISSED_MS, ENDED_MS, ENDED_MAX, PAGE = 64, 10000, 600000, 3600000, 100, 32
local FAILURES_MAX, FAILURES_BYTES = 100, 65536 -- of a job
local PREFIX = 'terrace:warm:'
local META, NODES, DEAD, JOBS, OPEN = PREFIX .. 'meta', PREFIX .. 'nodes', PREFIX .. 'dead', PREFIX .. 'jobs', PREFIX .. 'open'
local CHANGED, DUE, ENDED, STANDING = PREFIX .. 'changed', PREFIX .. 'due', PREFIX .. 'ended', PREFIX .. 'standing'
local call, verb, me = redis.call, ARGV[2], ARGV[4]
call('SELECT', ARGV[1])
local us = string.match(call('INFO', 'server'), 'server_time_usec:(%d+)') -- the documented user may not say TIME
if not us then
    local time = call('TIME')
    us = string.format('%d%06d', time[1], time[2])
end
local now = math.floor(tonumber(us) / 1000)

local function num(text)
    return tonumber(text) or 0
end
local function digits(number)
    return string.format('%.0f', number + 0) -- never -0, which is no integer to Redis
end
local function address_of(node)
    return string.match(node or '', ' (.*)$') or ''
end
local function key(kind, id)
    return PREFIX .. kind .. ':' .. id
end
-- Fields of a job, by their names; false: it has none.
local function read(id, ...)
    local values, job = call('HMGET', key('job', id), ...), {}
    for i, name in ipairs({ ... }) do
        job[name] = values[i]
    end
    return job
end
local function set(id, ...)
    call('HSET', key('job', id), ...)
end
local function meta(name)
    return call('HMGET', META, name)[1]
end
local function is_open(id)
    return call('ZSCORE', OPEN, id)
end
-- Nodes look at it again.
local function touch(id)
    call('ZADD', CHANGED, digits(call('HINCRBY', META, 'version', 1)), id)
end
local function touch_standing()
    call('HINCRBY', META, 'standing', 1)
end
local living -- by name, as soon as somebody asks
local function lives(node)
    if not living then
        living = {}
        for _, one in ipairs(call('ZRANGEBYSCORE', NODES, '(' .. digits(now), '+inf')) do
            living[one] = true
        end
    end
    return living[node] == true
end
local function charge(id, bytes)
    call('HINCRBY', key('job', id), 'bytes', digits(bytes))
    call('HINCRBY', META, 'bytes', digits(bytes))
end

local NEXT, FROM, LOADED, SKIPPED, ABSENT, FAILED, BYTES, RATE, YIELD, BEFORE = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
local function lane_read(text)
    local at = {}
    for part in string.gmatch(text or '', '%S+') do
        at[#at + 1] = num(part)
    end
    for i = #at + 1, BEFORE do
        at[i] = 0
    end
    return at
end
local function lane_text(at)
    local parts = {}
    for i = 1, BEFORE do
        parts[i] = digits(at[i])
    end
    return table.concat(parts, ' ')
end
local function lane_write(id, name, at)
    call('HSET', key('lanes', id), name, lane_text(at))
end
local function lanes_of(id)
    local all, lanes = call('HGETALL', key('lanes', id)), {}
    for i = 1, #all, 2 do
        lanes[#lanes + 1] = { name = all[i], at = lane_read(all[i + 1]) }
    end
    return lanes
end
local function keys_done(at)
    return at[LOADED] + at[SKIPPED] + at[ABSENT] + at[FAILED]
end

local function remove(id)
    local changed = num(call('ZSCORE', CHANGED, id))
    if changed > num(meta('floor')) then
        call('HSET', META, 'floor', digits(changed))
    end
    for _, name in ipairs({ JOBS, CHANGED, ENDED }) do
        call('ZREM', name, id)
    end
    call('DEL', key('job', id), key('json', id), key('lanes', id), key('chunks', id), key('failed', id))
end
local function remove_all(ids)
    for _, id in ipairs(ids) do
        remove(id)
    end
end
local function close(id, state, why)
    call('HINCRBY', META, 'bytes', digits(-num(read(id, 'bytes').bytes)))
    set(id, 'state', state, 'ended', digits(now), 'error', why or '', 'bytes', '0')
    call('ZREM', OPEN, id)
    call('ZREM', DUE, id)
    call('DEL', key('chunks', id), key('json', id))
    call('ZADD', ENDED, digits(now), id)
    for _, kind in ipairs({ 'job', 'lanes', 'failed' }) do
        call('PEXPIRE', key(kind, id), ENDED_MS)
    end
    touch(id)
    remove_all(call('ZRANGE', ENDED, 0, -ENDED_MAX - 1))
end

-- Begins again, for what was loaded went with those who had it.
local function rewind(id, lanes)
    charge(id, -num(read(id, 'held').held))
    call('DEL', key('chunks', id))
    set(id, 'base', '0', 'gone', '0', 'held', '0', 'produced', '0', 'total', '0', 'complete', '0', 'cursor', '', 'run', '')
    for _, lane in ipairs(lanes) do
        lane.at[NEXT], lane.at[FROM], lane.at[BEFORE] = 0, 0, -keys_done(lane.at)
        lane_write(id, lane.name, lane.at)
    end
    call('HINCRBY', key('job', id), 'rewound', 1)
    touch(id)
end
-- After lanes have come or gone.
local function check_lanes(id, base)
    local lanes = lanes_of(id)
    for _, lane in ipairs(lanes) do
        if lane.at[FROM] == 0 then
            return
        end
    end
    if num(base) > 0 and #lanes > 0 then
        rewind(id, lanes)
    end
end
-- Done when all that was produced is done by all.
local function settle(id)
    local job = read(id, 'complete', 'produced')
    if job.complete ~= '1' then
        return
    end
    local lanes = call('HVALS', key('lanes', id))
    for _, text in ipairs(lanes) do
        if lane_read(text)[NEXT] < num(job.produced) then
            return
        end
    end
    if #lanes > 0 then
        close(id, 'done')
    end
end

-- The only node that can go on with it is not there.
local function miss(id)
    set(id, 'missed', '1')
    call('ZADD', DUE, 'LT', digits(now + MISSED_MS), id)
end
-- Lanes of its own go, others become free when somebody looks.
local function end_part(id, node)
    local job = read(id, 'home', 'bound', 'target', 'complete', 'base', 'owner', 'producer')
    local had = call('HDEL', key('lanes', id), node) == 1
    if job.home == node and (job.target == 'self' or (job.bound == '1' and job.complete ~= '1')) then
        miss(id)
    end
    if had or job.home == node or job.owner == node or job.producer == node then
        touch(id)
    end
    if had then
        check_lanes(id, job.base)
        settle(id)
    end
end
-- What dead nodes had, a page of jobs of one of them.
local function take_from_dead()
    local dead = call('HGETALL', DEAD)
    local node, from = dead[1], dead[2]
    if not node then
        return
    end
    local ids = call('ZRANGEBYSCORE', JOBS, '(' .. digits(num(from)), '+inf', 'LIMIT', 0, PAGE)
    for _, id in ipairs(ids) do
        if is_open(id) then
            end_part(id, node)
        end
    end
    if #ids < PAGE then
        call('HDEL', DEAD, node)
    else
        call('HSET', DEAD, node, ids[#ids])
    end
end
local function reap()
    for _, node in ipairs(call('ZRANGEBYSCORE', NODES, '(' .. digits(now + LEASE_MS), '+inf')) do
        call('ZADD', NODES, digits(now + LEASE_MS), node) -- Redis' clock has gone back: no lease is good for longer by that
    end
    for _, node in ipairs(call('ZRANGEBYSCORE', NODES, '-inf', digits(now))) do
        call('ZREM', NODES, node)
        call('HSET', DEAD, node, '0')
    end
    take_from_dead()
    for _, id in ipairs(call('ZRANGEBYSCORE', DUE, '-inf', digits(now), 'LIMIT', 0, PAGE)) do
        local job = read(id, 'deadline', 'home')
        if num(job.deadline) > 0 and num(job.deadline) <= now then
            close(id, 'failed', 'its deadline has passed')
        else
            close(id, 'failed', 'node ' .. (job.home or '?') .. ', which it needs, is gone')
        end
    end
    remove_all(call('ZRANGEBYSCORE', ENDED, '-inf', digits(now - ENDED_MS), 'LIMIT', 0, PAGE))
end
