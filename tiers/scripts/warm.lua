-- SPDX-License-Identifier: BSD-3-Clause
-- The queue of warm jobs: the only hand on terrace:warm:*. See tiers/warm_script.h.
--
--   1 coherence-db     2 verb     3 what the queue was born as, as the node knows it; empty: it does not
--   4 the node: its id, a space, and the address where its clients reach it     5... of the verb
-- Answer: { word, ... }; the words are in the functions below. GONE: the queue is another one, or has no such job.
--
-- terrace:warm:meta     hash: born (Redis' time when it began), last (id), version (of what nodes must look at), bytes
-- terrace:warm:nodes    zset: node -> until when its leases are good; BEAT renews all that a node holds in one step
-- terrace:warm:open     zset: job that has not ended -> when it was submitted
-- terrace:warm:due      zset: job -> when it fails: its deadline, or when the only node that can go on with it is missed for too long
-- terrace:warm:ended    zset: job -> when it ended          terrace:warm:standing   zset: standing job -> when it is due
-- terrace:warm:job:N    hash: the job and how far it is     terrace:warm:json:N     as it was submitted
-- terrace:warm:chunks:N hash: number -> keys                terrace:warm:failed:N   list of failures
--
-- A job's keys become CHUNKS 0, 1, 2 ... by its PRODUCER; its LANES, `lane:<node>`, or `lane:l2` which belongs to `owner`, go
-- through them: "next from loaded skipped absent failed bytes rate yield". Chunks that all lanes have done go when there are more
-- than KEPT, or no room in the queue, so a node that comes late begins with the oldest that is there (`from`). Some lane always
-- began with chunk 0: when the last such has died the job begins again.
local KEPT, LEASE_MS, MISSED_MS, ENDED_MS, ENDED_MAX, FAILURES_MAX = 64, 10000, 600000, 3600000, 100, 100
local PREFIX = 'terrace:warm:'
local META, NODES, OPEN, DUE = PREFIX .. 'meta', PREFIX .. 'nodes', PREFIX .. 'open', PREFIX .. 'due'
local ENDED, STANDING = PREFIX .. 'ended', PREFIX .. 'standing'
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
local function get(id, ...)
    return unpack(call('HMGET', key('job', id), ...))
end
local function set(id, ...)
    call('HSET', key('job', id), ...)
end
local function news()
    call('HINCRBY', META, 'version', 1)
end
local function lives(node)
    return node and node ~= '' and num(call('ZSCORE', NODES, node)) > now
end
local function charge(id, bytes)
    call('HINCRBY', key('job', id), 'bytes', digits(bytes))
    call('HINCRBY', META, 'bytes', digits(bytes))
end

local function lane_read(text)
    local at = {}
    for part in string.gmatch(text or '', '%S+') do
        at[#at + 1] = num(part)
    end
    for i = #at + 1, 9 do
        at[i] = 0
    end
    return at
end
local function lane_write(id, name, at)
    local parts = {}
    for i = 1, 9 do
        parts[i] = digits(at[i])
    end
    set(id, 'lane:' .. name, table.concat(parts, ' '))
end
local function lanes_of(id)
    local all, lanes = call('HGETALL', key('job', id)), {}
    for i = 1, #all, 2 do
        local name = string.match(all[i], '^lane:(.*)$')
        if name then
            lanes[#lanes + 1] = { name, lane_read(all[i + 1]) }
        end
    end
    return lanes
end

local function remove(id)
    call('DEL', key('job', id), key('json', id), key('chunks', id), key('failed', id))
end
local function close(id, state, why)
    call('HINCRBY', META, 'bytes', digits(-num((get(id, 'bytes')))))
    set(id, 'state', state, 'ended', digits(now), 'error', why or '', 'bytes', '0')
    call('ZREM', OPEN, id)
    call('ZREM', DUE, id)
    call('DEL', key('chunks', id), key('json', id))
    call('ZADD', ENDED, digits(now), id)
    for _, kind in ipairs({ 'job', 'failed' }) do
        call('PEXPIRE', key(kind, id), ENDED_MS)
    end
    call('ZREMRANGEBYSCORE', ENDED, '-inf', digits(now - ENDED_MS))
    for _, old in ipairs(call('ZRANGE', ENDED, 0, -ENDED_MAX - 1)) do
        call('ZREM', ENDED, old)
        remove(old)
    end
    news()
end

-- Begins again, for what was loaded went with those who had it.
local function rewind(id, lanes)
    local bytes = 0
    for _, chunk in ipairs(call('HVALS', key('chunks', id))) do
        bytes = bytes + #chunk
    end
    charge(id, -bytes)
    call('DEL', key('chunks', id))
    set(id, 'base', '0', 'produced', '0', 'total', '0', 'complete', '0', 'cursor', '', 'run', '')
    for _, lane in ipairs(lanes) do
        lane[2][1], lane[2][2] = 0, 0
        lane_write(id, lane[1], lane[2])
    end
    call('HINCRBY', key('job', id), 'rewound', 1)
    news()
end
-- After lanes have come or gone.
local function check_lanes(id)
    local base, lanes = num((get(id, 'base'))), lanes_of(id)
    for _, lane in ipairs(lanes) do
        if lane[2][2] == 0 then
            return
        end
    end
    if base > 0 and #lanes > 0 then
        rewind(id, lanes)
    end
end
-- Done when all that was produced is done by all.
local function settle(id)
    local complete, produced = get(id, 'complete', 'produced')
    if complete ~= '1' then
        return
    end
    local lanes = lanes_of(id)
    for _, lane in ipairs(lanes) do
        if lane[2][1] < num(produced) then
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
-- What dead nodes had: lanes of their own go, others become free when somebody looks.
local function drop_nodes(nodes)
    local dead = {}
    for _, node in ipairs(nodes) do
        dead[node] = true
        call('ZREM', NODES, node)
    end
    for _, id in ipairs(call('ZRANGE', OPEN, 0, -1)) do
        local home, bound, target, complete = get(id, 'home', 'bound', 'target', 'complete')
        for _, lane in ipairs(lanes_of(id)) do
            if dead[lane[1]] then
                call('HDEL', key('job', id), 'lane:' .. lane[1])
            end
        end
        if dead[home] and (target == 'self' or (bound == '1' and complete ~= '1')) then
            miss(id)
        end
        check_lanes(id)
        settle(id)
    end
    news()
end
local function reap()
    for _, node in ipairs(call('ZRANGEBYSCORE', NODES, '(' .. digits(now + LEASE_MS), '+inf')) do
        call('ZADD', NODES, digits(now + LEASE_MS), node) -- Redis' clock has gone back: no lease is good for longer by that
    end
    local dead = call('ZRANGEBYSCORE', NODES, '-inf', digits(now))
    if #dead > 0 then
        drop_nodes(dead)
    end
    for _, id in ipairs(call('ZRANGEBYSCORE', DUE, '-inf', digits(now))) do
        local deadline, home = get(id, 'deadline', 'home')
        if num(deadline) > 0 and num(deadline) <= now then
            close(id, 'failed', 'its deadline has passed')
        else
            close(id, 'failed', 'node ' .. (home or '?') .. ', which it needs, is gone')
        end
    end
end

-- Its lane of the job, made if the node takes part; nil: it does not.
local function lane_for(id, target, home)
    if target == 'l2' then
        local owner = get(id, 'owner')
        if owner ~= me and lives(owner) then
            return nil
        end
        set(id, 'owner', me)
        return 'l2'
    end
    if target == 'self' and home ~= me then
        return nil
    end
    if call('HEXISTS', key('job', id), 'lane:' .. me) == 0 then
        local base = num((get(id, 'base')))
        lane_write(id, me, { base, base, 0, 0, 0, 0, 0, 0, 0 })
        check_lanes(id)
    end
    return me
end
-- Whether it is the one who runs the source.
local function producer_of(id, bound, home)
    local producer, complete = get(id, 'producer', 'complete')
    if complete == '1' then
        return false
    end
    if producer ~= me and not lives(producer) and (bound ~= '1' or home == me) then
        set(id, 'producer', me)
        producer = me
    end
    return producer == me
end

local verbs = {}

-- Of a node that takes no part: OK born version open now standing
function verbs.LOOK(born)
    reap()
    return { 'OK', born, num(call('HMGET', META, 'version')[1]), call('ZCARD', OPEN), now, call('ZCARD', STANDING) }
end

-- Of one that does. The same.
function verbs.BEAT(born)
    call('ZADD', NODES, digits(now + LEASE_MS), me)
    return verbs.LOOK(born)
end

-- It ends: what it holds is free at once.
function verbs.LEAVE()
    drop_nodes({ me })
    return { 'OK' }
end

local function submit(json, fields, json_max, jobs_max, standing_due)
    local bytes = num(call('HMGET', META, 'bytes')[1])
    if call('ZCARD', OPEN) + call('ZCARD', STANDING) >= num(jobs_max) then
        return redis.error_reply('BUSY ' .. jobs_max .. ' warm jobs have not ended')
    elseif bytes + #json > num(json_max) then
        return redis.error_reply('BUSY warm jobs take ' .. digits(bytes) .. ' bytes of L2, and have ' .. json_max)
    end
    local id = digits(call('HINCRBY', META, 'last', 1))
    remove(id)
    call('SET', key('json', id), json)
    set(id, 'id', id, 'home', me, 'submitted', digits(now), 'started', '0', 'ended', '0', 'error', '', 'base', '0',
        'produced', '0', 'total', '0', 'complete', '0', 'cursor', '', 'run', '', 'producer', lives(me) and me or '', 'bytes', '0')
    for i = 1, #fields, 2 do
        set(id, fields[i], fields[i + 1])
    end
    charge(id, #json)
    if standing_due then
        set(id, 'state', 'standing')
        call('ZADD', STANDING, standing_due, id)
        news()
        return { 'OK', id }
    end
    set(id, 'state', 'queued')
    call('ZADD', OPEN, digits(now), id)
    local target, life, bound = get(id, 'target', 'life', 'bound')
    if num(life) > 0 then
        set(id, 'deadline', digits(now + num(life) * 1000))
        call('ZADD', DUE, digits(now + num(life) * 1000), id)
    end
    if (target == 'self' or bound == '1') and not lives(me) then -- it takes no part at present
        miss(id)
    end
    if target == 'l2' then
        lane_write(id, 'l2', lane_read(''))
    else -- those who live have a lane, before they know: so the job does not end without them
        for _, node in ipairs(call('ZRANGEBYSCORE', NODES, '(' .. digits(now), '+inf')) do
            if target == 'all' or node == me then
                lane_write(id, node, lane_read(''))
            end
        end
    end
    news()
    return { 'OK', id }
end

-- 5 json   6 bytes of all jobs   7 how many jobs   8 empty, or of a standing job when it is due (0: not by the clock)   9... fields
-- OK id, or an error BUSY
function verbs.SUBMIT()
    local fields = {}
    for i = 9, #ARGV do
        fields[#fields + 1] = ARGV[i]
    end
    return submit(ARGV[5], fields, ARGV[6], ARGV[7], ARGV[8] ~= '' and ARGV[8] or nil)
end

-- OK { id due state schedule before n db } ... ; `due` is 0 of one that does not go by the clock, negative while it is paused
function verbs.STANDING()
    local answer = { 'OK' }
    for _, id in ipairs(call('ZRANGE', STANDING, 0, -1)) do
        local state, schedule, before, n, db = get(id, 'state', 'schedule', 'before', 'n', 'db')
        answer[#answer + 1] = { id, num(call('ZSCORE', STANDING, id)), state or '', schedule or '', num(before), num(n), num(db) }
    end
    return answer
end

-- 5 standing job   6 due, as the node knows it   7 due next   8, 9 limits, as SUBMIT
-- OK id | RUNNING id: the last one has not ended | LATE: another node was first
function verbs.FIRE()
    local id = ARGV[5]
    local due = call('ZSCORE', STANDING, id)
    if not due then
        return { 'GONE' }
    end
    local home, bound, target = get(id, 'home', 'bound', 'target')
    if digits(num(due)) ~= ARGV[6] or
        ((bound == '1' or target == 'self') and address_of(home) ~= address_of(me)) then
        return { 'LATE' }
    end
    call('ZADD', STANDING, ARGV[7], id)
    local child = get(id, 'child')
    if child and call('ZSCORE', OPEN, child) then
        return { 'RUNNING', child }
    end
    local names, fields = { 'source', 'target', 'bound', 'priority', 'rate', 'life', 'db', 'mode', 'dry' }, {}
    for _, name in ipairs(names) do
        fields[#fields + 1] = name
        fields[#fields + 1] = get(id, name) or ''
    end
    local done = submit(call('GETRANGE', key('json', id), 0, -1), fields, ARGV[8], ARGV[9])
    if done[2] then
        set(id, 'child', done[2], 'fired', digits(now))
    end
    return done
end

-- 5 standing job   6 misses that it has prevented since the last such
function verbs.PREVENTED()
    if not call('ZSCORE', STANDING, ARGV[5]) then
        return { 'GONE' }
    end
    call('HINCRBY', key('job', ARGV[5]), 'prevented', ARGV[6])
    return { 'OK' }
end

-- OK { id state priority submitted deadline rate lanes lane next produced complete producer cursor run total } ... : of all jobs in
-- which the node has a part. `lanes`: how many share the rate; `lane`, `producer`: it has that part
function verbs.TAKE()
    local answer = { 'OK' }
    for _, id in ipairs(call('ZRANGE', OPEN, 0, -1)) do
        local target, home, bound, missed, deadline = get(id, 'target', 'home', 'bound', 'missed', 'deadline')
        local is_next = home ~= me and not lives(home) and address_of(home) == address_of(me) -- the process after that one
        if is_next or (home == me and missed == '1') then
            set(id, 'home', me, 'missed', '0')
            home = me
            call('ZREM', DUE, id)
            if num(deadline) > 0 then
                call('ZADD', DUE, deadline, id)
            end
        end
        local lane = lane_for(id, target, home)
        local produces = producer_of(id, bound, home)
        if lane or produces then
            local state, priority, submitted, rate, produced, complete, cursor, run, total =
                get(id, 'state', 'priority', 'submitted', 'rate', 'produced', 'complete', 'cursor', 'run', 'total')
            local at = lane and lane_read((get(id, 'lane:' .. lane))) or { 0 }
            answer[#answer + 1] = { id, state, num(priority), num(submitted), num(deadline), num(rate), #lanes_of(id), lane and 1 or 0,
                at[1], num(produced), num(complete), produces and 1 or 0, cursor or '', run or '', num(total) }
        end
    end
    return answer
end

local function is_open(id)
    return call('ZSCORE', OPEN, id)
end

-- 5 job: OK json
function verbs.SPEC()
    local id = ARGV[5]
    local json = call('GETRANGE', key('json', id), 0, -1)
    if #json > 0 then
        return { 'OK', json }
    elseif is_open(id) then
        close(id, 'failed', 'its text in L2 is gone')
    end
    return { 'GONE' }
end

-- 5 job   6 number of the chunk that is done, or -1   7... loaded, skipped, absent, failed, bytes, rate, yield   14... failures
-- OK state rate lanes produced complete number keys: the next chunk; number -1: there is none now
-- LOST: the node has no such lane
function verbs.NEXT()
    local id = ARGV[5]
    if not is_open(id) then
        return { 'GONE' }
    end
    local target, owner = get(id, 'target', 'owner')
    local name = target == 'l2' and 'l2' or me
    local text = get(id, 'lane:' .. name)
    if not text or (target == 'l2' and owner ~= me) then
        return { 'LOST' }
    end
    local at = lane_read(text)
    if num(ARGV[6]) == at[1] then -- else it was said before
        at[1] = at[1] + 1
        for i = 1, 5 do
            at[i + 2] = at[i + 2] + num(ARGV[6 + i])
        end
        at[8], at[9] = num(ARGV[12]), num(ARGV[13])
        lane_write(id, name, at)
        for i = 14, #ARGV do
            if call('RPUSH', key('failed', id), ARGV[i]) > FAILURES_MAX then
                call('RPOP', key('failed', id))
                break
            end
        end
        settle(id)
        if not is_open(id) then
            return { 'GONE' }
        end
    end
    local state, rate, produced, complete, started = get(id, 'state', 'rate', 'produced', 'complete', 'started')
    local answer = { 'OK', state, num(rate), #lanes_of(id), num(produced), num(complete), -1, '' }
    if state == 'paused' or at[1] >= num(produced) then
        return answer
    end
    local chunk = call('HMGET', key('chunks', id), at[1])[1]
    if not chunk then
        close(id, 'failed', 'its chunks in L2 are gone')
        return { 'GONE' }
    end
    if num(started) == 0 then
        set(id, 'started', digits(now), 'state', 'running')
        answer[2] = 'running'
    end
    answer[7], answer[8] = at[1], chunk
    return answer
end

-- 5 job   6 number   7 cursor behind it   8 the run that the cursor is good for   9 count of keys   10 keys; empty: the cursor only
-- 11 1: that was the last   12 bytes of all jobs
-- OK | WAIT: no room yet | LOST: another one is the producer, or there is nothing left to produce | AGAIN number cursor run total: what comes next is this
function verbs.APPEND()
    local id, chunk = ARGV[5], ARGV[10]
    if not is_open(id) then
        return { 'GONE' }
    end
    local producer, produced, cursor, run, base, total, state, complete =
        get(id, 'producer', 'produced', 'cursor', 'run', 'base', 'total', 'state', 'complete')
    if producer ~= me or complete == '1' then -- it was the last, and that was not heard
        return { 'LOST' }
    elseif num(ARGV[6]) ~= num(produced) then
        return { 'AGAIN', num(produced), cursor or '', run or '', num(total) }
    end
    if #chunk > 0 then
        local lanes = lanes_of(id)
        local slowest = #lanes > 0 and num(produced) or num(base)
        for _, lane in ipairs(lanes) do
            slowest = math.min(slowest, lane[2][1])
        end
        produced, base = num(produced), num(base)
        local room = num(ARGV[12]) - num(call('HMGET', META, 'bytes')[1]) - #chunk
        while base < slowest and produced - base >= (room < 0 and 0 or KEPT) do
            local bytes = call('HSTRLEN', key('chunks', id), digits(base))
            call('HDEL', key('chunks', id), digits(base))
            charge(id, -bytes)
            base, room = base + 1, room + bytes
        end
        set(id, 'base', digits(base))
        -- A job that has nothing to do gets a chunk all the same: else those that wait for room could wait for each other.
        if state == 'paused' or produced - slowest >= KEPT or (room < 0 and slowest < produced) then
            return { 'WAIT' }
        end
        call('HSET', key('chunks', id), digits(produced), chunk)
        charge(id, #chunk)
        set(id, 'produced', digits(produced + 1), 'total', digits(num(total) + num(ARGV[9])))
    end
    set(id, 'cursor', ARGV[7], 'run', ARGV[8], 'complete', ARGV[11])
    settle(id)
    return { 'OK' }
end

-- 5 job   6 why
function verbs.FAIL()
    if not is_open(ARGV[5]) then
        return { 'GONE' }
    end
    close(ARGV[5], 'failed', ARGV[6])
    return { 'OK' }
end

-- 5 job   6 PAUSE, RESUME, CANCEL or SETRATE   7 the rate.   OK | ENDED state
function verbs.CHANGE()
    local id, what = ARGV[5], ARGV[6]
    local state, started = get(id, 'state', 'started')
    if not state then
        return { 'GONE' }
    end
    local stands = call('ZSCORE', STANDING, id)
    if stands and what == 'CANCEL' then
        call('ZREM', STANDING, id)
        close(id, 'cancelled')
    elseif stands and what ~= 'SETRATE' then -- paused, it is due when it is resumed
        local due = num(stands)
        set(id, 'state', what == 'PAUSE' and 'paused' or 'standing')
        if (due < 0) ~= (what == 'PAUSE') then
            call('ZADD', STANDING, digits(-due), id)
        end
    elseif not stands and not is_open(id) then
        return { 'ENDED', state }
    elseif what == 'CANCEL' then
        close(id, 'cancelled')
    elseif what == 'PAUSE' then
        set(id, 'state', 'paused')
    elseif what == 'RESUME' then
        set(id, 'state', state ~= 'paused' and state or num(started) > 0 and 'running' or 'queued')
    else
        set(id, 'rate', ARGV[7])
    end
    news()
    return { 'OK' }
end

-- 5 job, or empty: all.   OK now { fields } { failures } ... ; of all jobs without their failures, the newest first
function verbs.SHOW()
    local answer, ids = { 'OK', now }, {}
    if ARGV[5] ~= '' then
        ids[1] = ARGV[5]
    else
        for _, set_of in ipairs({ OPEN, STANDING, ENDED }) do
            for _, id in ipairs(call('ZRANGE', set_of, 0, -1)) do
                ids[#ids + 1] = id
            end
        end
        table.sort(ids, function(a, b) return num(a) > num(b) end)
    end
    for _, id in ipairs(ids) do
        local fields = call('HGETALL', key('job', id))
        if #fields > 0 then
            local due = call('ZSCORE', STANDING, id)
            fields[#fields + 1], fields[#fields + 2] = 'next_at', digits(math.max(0, num(due)))
            answer[#answer + 1] = fields
            answer[#answer + 1] = ARGV[5] ~= '' and call('LRANGE', key('failed', id), 0, FAILURES_MAX - 1) or {}
        end
    end
    return #answer == 2 and ARGV[5] ~= '' and { 'GONE' } or answer
end

-- Somebody else wrote what only this script may: what cannot be read goes. OK how many
function verbs.MEND()
    local mended = 0
    local function must_be(name, kind)
        local is = call('TYPE', name).ok
        if is ~= kind and is ~= 'none' then
            call('DEL', name)
            mended = mended + 1
            return false
        end
        return true
    end
    must_be(META, 'hash')
    for _, name in ipairs({ NODES, OPEN, DUE, ENDED, STANDING }) do
        must_be(name, 'zset')
    end
    for _, set_of in ipairs({ OPEN, STANDING, ENDED }) do
        for _, id in ipairs(call('ZRANGE', set_of, 0, -1)) do
            local whole = must_be(key('job', id), 'hash')
            whole = must_be(key('chunks', id), 'hash') and whole
            whole = must_be(key('json', id), 'string') and whole
            whole = must_be(key('failed', id), 'list') and whole
            if not whole then
                call('ZREM', set_of, id)
                call('ZREM', DUE, id)
                remove(id)
            end
        end
    end
    return { 'OK', mended }
end

if verb == 'MEND' then
    return verbs.MEND()
end
local born = call('HMGET', META, 'born')[1]
if not born then
    born = us
    call('HSET', META, 'born', born)
end
if ARGV[3] ~= '' and ARGV[3] ~= born then
    return { 'GONE', born }
end
return verbs[verb](born)
