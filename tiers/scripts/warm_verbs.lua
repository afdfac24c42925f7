-- SPDX-License-Identifier: BSD-3-Clause
-- What nodes say to the queue of warm jobs, behind warm.lua: one script of two files.
local verbs = {}

-- Of a node that takes no part: OK born version standing open now dead stand. `standing`: the version of those; `dead`: of so many
-- nodes the part is still to be taken from them, by the next such; `open`, `stand`: how many jobs
function verbs.LOOK(born)
    reap()
    local known = call('HMGET', META, 'version', 'standing')
    return { 'OK', born, num(known[1]), num(known[2]), call('ZCARD', OPEN), now, call('HLEN', DEAD), call('ZCARD', STANDING) }
end

-- Of one that does. The same.
function verbs.BEAT(born)
    call('ZADD', NODES, digits(now + LEASE_MS), me)
    call('HDEL', DEAD, me)
    return verbs.LOOK(born)
end

-- It ends: what it holds is free at once.
function verbs.LEAVE()
    call('ZREM', NODES, me)
    call('HSET', DEAD, me, '0')
    take_from_dead()
    return { 'OK' }
end

-- How many keys its set has now; empty: it is none, and says so when it is read.
local function members_of(job)
    if job.counts ~= 'SCARD' and job.counts ~= 'ZCARD' then
        return job.expected or ''
    end
    if redis.pcall('SELECT', job.db).err then -- L2 has fewer databases: who reads it says so
        return ''
    end
    local count = redis.pcall(job.counts, job.counted)
    call('SELECT', ARGV[1])
    if type(count) ~= 'number' then
        return ''
    end
    return digits(job.counts == 'ZCARD' and math.min(count, num(job.n)) or count)
end

local function submit(json, fields, json_max, jobs_max, standing_due)
    local bytes = num(meta('bytes'))
    if call('ZCARD', OPEN) + call('ZCARD', STANDING) >= num(jobs_max) then
        return redis.error_reply('BUSY ' .. jobs_max .. ' warm jobs have not ended')
    elseif bytes + #json > num(json_max) then
        return redis.error_reply('BUSY warm jobs take ' .. digits(bytes) .. ' bytes of L2, and have ' .. json_max)
    end
    local id = digits(call('HINCRBY', META, 'last', 1))
    remove(id)
    call('SET', key('json', id), json)
    call('ZADD', JOBS, id, id)
    set(id, 'id', id, 'home', me, 'submitted', digits(now), 'started', '0', 'ended', '0', 'error', '', 'base', '0', 'gone', '0',
        'produced', '0', 'total', '0', 'complete', '0', 'cursor', '', 'run', '', 'producer', lives(me) and me or '', 'bytes', '0',
        'held', '0', 'state', standing_due and 'standing' or 'queued')
    set(id, unpack(fields))
    charge(id, #json)
    if standing_due then
        set(id, 'due', standing_due)
        call('ZADD', STANDING, id, id)
        touch_standing()
        return { 'OK', id }
    end
    call('ZADD', OPEN, digits(now), id)
    local job = read(id, 'target', 'life', 'bound', 'counts', 'counted', 'db', 'n', 'expected')
    set(id, 'expected', members_of(job))
    if num(job.life) > 0 then
        set(id, 'deadline', digits(now + num(job.life) * 1000))
        call('ZADD', DUE, digits(now + num(job.life) * 1000), id)
    end
    if (job.target == 'self' or job.bound == '1') and not lives(me) then -- it takes no part at present
        miss(id)
    end
    if job.target == 'l2' then
        lane_write(id, 'l2', lane_read(''))
    else -- those who live have a lane, before they know: so the job does not end without them
        for _, node in ipairs(call('ZRANGEBYSCORE', NODES, '(' .. digits(now), '+inf')) do
            if job.target == 'all' or node == me then
                lane_write(id, node, lane_read(''))
            end
        end
    end
    touch(id)
    return { 'OK', id }
end

-- 5 json   6 bytes of all jobs   7 how many jobs   8 empty, or of a standing job when it is due (0: not by the clock)   9... fields;
-- of them `expected`: how many keys, if it is known; or `counts`: SCARD or ZCARD, of `counted`
-- OK id, or an error BUSY
function verbs.SUBMIT()
    local fields = {}
    for i = 9, #ARGV do
        fields[#fields + 1] = ARGV[i]
    end
    return submit(ARGV[5], fields, ARGV[6], ARGV[7], ARGV[8] ~= '' and ARGV[8] or nil)
end

-- 5 of those whose number is more; 0: any
-- OK after { id due state schedule before n db } ... , a page; `due` is 0 of one that does not go by the clock, negative while it is
-- paused. `after`: what to say as 5 for the next; 0: there is none
function verbs.STANDING()
    local ids = call('ZRANGEBYSCORE', STANDING, '(' .. ARGV[5], '+inf', 'LIMIT', 0, PAGE)
    local answer = { 'OK', #ids == PAGE and num(ids[#ids]) or 0 }
    for _, id in ipairs(ids) do
        local job = call('HMGET', key('job', id), 'due', 'state', 'schedule', 'before', 'n', 'db')
        answer[#answer + 1] = { id, num(job[1]), job[2] or '', job[3] or '', num(job[4]), num(job[5]), num(job[6]) }
    end
    return answer
end

-- 5 standing job   6 due, as the node knows it   7 due next   8, 9 limits, as SUBMIT
-- OK id | RUNNING id: the last one has not ended | LATE: another node was first
function verbs.FIRE()
    local id = ARGV[5]
    if not call('ZSCORE', STANDING, id) then
        return { 'GONE' }
    end
    local job = read(id, 'home', 'bound', 'target', 'child', 'due')
    if digits(num(job.due)) ~= ARGV[6] or
        ((job.bound == '1' or job.target == 'self') and address_of(job.home) ~= address_of(me)) then
        return { 'LATE' }
    end
    set(id, 'due', ARGV[7])
    if job.child and is_open(job.child) then
        return { 'RUNNING', job.child }
    end
    local names, fields = { 'source', 'target', 'bound', 'priority', 'rate', 'life', 'db', 'mode', 'dry', 'n', 'expected', 'counts',
        'counted' }, {}
    for i, value in ipairs(call('HMGET', key('job', id), unpack(names))) do
        fields[#fields + 1] = names[i]
        fields[#fields + 1] = value or ''
    end
    local done = submit(call('GET', key('json', id)) or '', fields, ARGV[8], ARGV[9])
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

-- The process after the one that it was submitted at, or that one again.
local function come_home(id, job)
    local is_next = job.home ~= me and not lives(job.home) and address_of(job.home) == address_of(me)
    if is_next or (job.home == me and job.missed == '1') then
        set(id, 'home', me, 'missed', '0')
        job.home = me
        call('ZREM', DUE, id)
        if num(job.deadline) > 0 then
            call('ZADD', DUE, job.deadline, id)
        end
    end
end
-- The name and the numbers of its lane, made if the node takes part; nil: it does not.
local function lane_for(id, job)
    local name = job.target == 'l2' and 'l2' or me
    if job.target == 'l2' and job.owner ~= me then
        if lives(job.owner) then
            return nil
        end
        set(id, 'owner', me)
    elseif job.target == 'self' and job.home ~= me then
        return nil
    end
    local text = call('HMGET', key('lanes', id), name)[1]
    local at = lane_read(text)
    if not text then
        at[NEXT], at[FROM], at[BEFORE] = num(job.base), num(job.base), num(job.gone)
        lane_write(id, name, at)
        if at[FROM] > 0 then
            check_lanes(id, job.base)
        end
    end
    return name, at
end
-- Whether it is the one who runs the source.
local function is_producer(id, job)
    if job.complete == '1' then
        return false
    elseif job.producer ~= me and not lives(job.producer) and (job.bound ~= '1' or job.home == me) then
        set(id, 'producer', me)
        return true
    end
    return job.producer == me
end
-- What the node has to do with a job.
local function part_in(id)
    local job = read(id, 'target', 'home', 'bound', 'missed', 'deadline', 'owner', 'base', 'gone', 'producer', 'complete', 'state',
        'priority', 'submitted', 'rate', 'produced', 'cursor', 'run')
    if not is_open(id) then
        return { id }
    end
    come_home(id, job)
    local lane, at = lane_for(id, job)
    local produces = is_producer(id, job)
    if not lane and not produces then
        return { id }
    end
    return { id, job.state, num(job.priority), num(job.submitted), num(job.deadline), num(job.rate), call('HLEN', key('lanes', id)),
        lane and 1 or 0, lane and at[NEXT] or 0, num(job.produced), produces and 1 or 0, job.cursor or '', job.run or '' }
end

-- 5 the version up to which the node knows what changed; 0: nothing   6 the floor that it was told with it
-- OK version floor more all { id state priority submitted deadline rate lanes lane next produced producer cursor run } ...
-- of the jobs that have changed since; only { id } where it has no part. `version`: up to which it knows now; more: 1: and should ask
-- again. all: 1: this begins with the first of all there are. `lanes`: how many share the rate; `lane`, `producer`: it has that part
function verbs.TAKE()
    local known = call('HMGET', META, 'version', 'floor')
    local since, version = num(ARGV[5]), num(known[1])
    local floor = num(known[2])
    since = (since >= floor or num(ARGV[6]) == floor) and since or 0 -- else something may be forgotten that it does not know
    local found = call('ZRANGEBYSCORE', CHANGED, '(' .. digits(since), '+inf', 'WITHSCORES', 'LIMIT', 0, PAGE)
    local more = #found == 2 * PAGE
    local answer = { 'OK', more and num(found[#found]) or version, floor, more and 1 or 0, since == 0 and 1 or 0 }
    for i = 1, #found, 2 do
        answer[#answer + 1] = part_in(found[i])
    end
    return answer
end

-- 5 job: OK json
function verbs.SPEC()
    local id = ARGV[5]
    local json = call('GET', key('json', id)) or ''
    if #json > 0 then
        return { 'OK', json }
    elseif is_open(id) then
        close(id, 'failed', 'its text in L2 is gone')
    end
    return { 'GONE' }
end

-- What the node tells of its lane (NEXT, PASS). Failures are kept as long as they are few and small.
local function tell(id, at)
    for i = LOADED, BYTES do
        at[i] = at[i] + num(ARGV[i + 4])
    end
    at[RATE], at[YIELD] = num(ARGV[12]), num(ARGV[13])
    if #ARGV < 14 then
        return
    end
    local count, bytes = call('LLEN', key('failed', id)), num(read(id, 'failures').failures)
    for i = 14, #ARGV do
        if count < FAILURES_MAX and bytes + #ARGV[i] <= FAILURES_BYTES then
            count, bytes = call('RPUSH', key('failed', id), ARGV[i]), bytes + #ARGV[i]
            charge(id, #ARGV[i])
        end
    end
    set(id, 'failures', digits(bytes))
end
-- The lane, and its name; nil: it has none, or has it no more.
local function own_lane(id, job)
    local name = job.target == 'l2' and 'l2' or me
    local text = call('HMGET', key('lanes', id), name)[1]
    if text and (job.target ~= 'l2' or job.owner == me) then
        return lane_read(text), name
    end
end

-- 5 job   6 number of the chunk that is done, or -1   7... loaded, skipped, absent, failed, bytes, rate, yield   14... failures
-- OK state rate lanes number keys: the next chunk; number -1: there is none now
-- LOST: the node has no such lane
function verbs.NEXT()
    local id = ARGV[5]
    if not is_open(id) then
        return { 'GONE' }
    end
    local job = read(id, 'target', 'owner', 'state', 'rate', 'produced', 'complete', 'started')
    local at, name = own_lane(id, job)
    if not at then
        return { 'LOST' }
    end
    if num(ARGV[6]) == at[NEXT] then -- else it was said before
        at[NEXT] = at[NEXT] + 1
        tell(id, at)
        lane_write(id, name, at)
        if job.complete == '1' and at[NEXT] >= num(job.produced) then
            settle(id)
            if not is_open(id) then
                return { 'GONE' }
            end
        end
    end
    local answer = { 'OK', job.state, num(job.rate), call('HLEN', key('lanes', id)), -1, '' }
    if job.state == 'paused' or at[NEXT] >= num(job.produced) then
        return answer
    end
    local chunk = call('HMGET', key('chunks', id), digits(at[NEXT]))[1]
    if not chunk then
        close(id, 'failed', 'its chunks in L2 are gone')
        return { 'GONE' }
    end
    if num(job.started) == 0 then
        set(id, 'started', digits(now), 'state', 'running')
        answer[2] = 'running'
    end
    answer[5], answer[6] = at[NEXT], chunk
    return answer
end

-- How many keys are in the chunks from one on, up to the last.
local function keys_from(id, from, produced)
    local names, count = {}, 0
    for i = from, produced - 1 do
        names[#names + 1] = 'n' .. digits(i)
    end
    for _, keys in ipairs(#names > 0 and call('HMGET', key('chunks', id), unpack(names)) or {}) do
        count = count + num(keys)
    end
    return count
end

-- As NEXT; of a node that can do nothing at present. What there is for its lane counts as failed if another one waits for it.
-- OK keys: so many do by that | WAIT: nobody waits | LOST
function verbs.PASS()
    local id = ARGV[5]
    if not is_open(id) then
        return { 'GONE' }
    end
    local job = read(id, 'target', 'owner', 'produced')
    local at, name = own_lane(id, job)
    if not at then
        return { 'LOST' }
    elseif num(ARGV[6]) ~= at[NEXT] then -- it was said before
        return { 'OK', 0 }
    end
    local produced, waits = num(job.produced), false
    for _, lane in ipairs(lanes_of(id)) do
        waits = waits or lane.at[NEXT] >= produced
    end
    if not waits or at[NEXT] >= produced then
        return { 'WAIT' }
    end
    local done = keys_done(at) + keys_from(id, at[NEXT], produced)
    tell(id, at)
    local passed = math.max(0, done - keys_done(at))
    at[NEXT], at[FAILED] = produced, at[FAILED] + passed
    lane_write(id, name, at)
    settle(id)
    return { 'OK', passed }
end

-- Chunks that all have done go; how many chunks the slowest lane has before it, and the room that is left.
local function make_room(id, job, room)
    local produced, base, gone, held = num(job.produced), num(job.base), num(job.gone), num(job.held)
    local lanes = call('HVALS', key('lanes', id))
    local slowest = #lanes > 0 and produced or base
    for _, text in ipairs(lanes) do
        slowest = math.min(slowest, lane_read(text)[NEXT])
    end
    local before = held
    while base < slowest and produced - base >= (room < 0 and 0 or KEPT) do
        local bytes = call('HSTRLEN', key('chunks', id), digits(base))
        gone = gone + num(call('HMGET', key('chunks', id), 'n' .. digits(base))[1])
        call('HDEL', key('chunks', id), digits(base), 'n' .. digits(base))
        base, held, room = base + 1, held - bytes, room + bytes
    end
    if held ~= before then
        charge(id, held - before)
        set(id, 'base', digits(base), 'gone', digits(gone), 'held', digits(held))
    end
    job.held = held
    return produced - slowest, room
end

-- 5 job   6 number   7 cursor behind it   8 the run that the cursor is good for   9 count of keys   10 keys; empty: the cursor only
-- 11 1: that was the last   12 bytes of all jobs   13 how many keys there will be in all; empty: it is not known
-- OK | WAIT: no room yet | LOST: another one is the producer, or there is nothing left to produce | AGAIN number cursor run: what comes next is this
function verbs.APPEND()
    local id, chunk = ARGV[5], ARGV[10]
    if not is_open(id) then
        return { 'GONE' }
    end
    local job = read(id, 'producer', 'produced', 'cursor', 'run', 'base', 'gone', 'held', 'total', 'state', 'complete')
    local produced = num(job.produced)
    if job.producer ~= me or job.complete == '1' then -- it was the last, and that was not heard
        return { 'LOST' }
    elseif num(ARGV[6]) ~= produced then
        return { 'AGAIN', produced, job.cursor or '', job.run or '' }
    end
    if ARGV[13] ~= '' then
        set(id, 'expected', ARGV[13])
    end
    if #chunk > 0 then
        local ahead, room = make_room(id, job, num(ARGV[12]) - num(meta('bytes')) - #chunk)
        -- A job that has nothing to do gets a chunk all the same: else those that wait for room could wait for each other.
        if job.state == 'paused' or ahead >= KEPT or (room < 0 and ahead > 0) then
            return { 'WAIT' }
        end
        call('HSET', key('chunks', id), digits(produced), chunk, 'n' .. digits(produced), ARGV[9])
        charge(id, #chunk)
        set(id, 'produced', digits(produced + 1), 'total', digits(num(job.total) + num(ARGV[9])), 'held', digits(job.held + #chunk))
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
    local job = read(id, 'state', 'started', 'due')
    if not job.state then
        return { 'GONE' }
    end
    local stands = call('ZSCORE', STANDING, id)
    if not stands and not is_open(id) then
        return { 'ENDED', job.state }
    elseif what == 'CANCEL' then
        call('ZREM', STANDING, id)
        close(id, 'cancelled')
    elseif what == 'SETRATE' then
        set(id, 'rate', ARGV[7])
    elseif stands then -- paused, it is due when it is resumed
        local due = num(job.due)
        local is_paused = due < 0
        set(id, 'state', what == 'PAUSE' and 'paused' or 'standing')
        set(id, 'due', digits(is_paused ~= (what == 'PAUSE') and -due or due))
    elseif what == 'PAUSE' then
        set(id, 'state', 'paused')
    else
        set(id, 'state', job.state ~= 'paused' and job.state or num(job.started) > 0 and 'running' or 'queued')
    end
    if stands then
        touch_standing()
    elseif what ~= 'CANCEL' then
        touch(id)
    end
    return { 'OK' }
end

local SHOWN = { 'state', 'source', 'db', 'mode', 'target', 'dry', 'priority', 'rate', 'total', 'expected', 'complete', 'submitted',
    'started', 'ended', 'deadline', 'error', 'schedule', 'prevented', 'owner', 'due' }

-- 5 job, or empty: all   6 of all those whose number is less; 0: any
-- OK now below { id fields } { lanes } { failures } ... ; of all jobs without their failures, the newest first, a page; `below`:
-- what to say as 6 for the next; 0: there is none. `fields`: as SHOWN
function verbs.SHOW()
    local is_one, ids = ARGV[5] ~= '', { ARGV[5] }
    if not is_one then
        ids = call('ZREVRANGEBYSCORE', JOBS, num(ARGV[6]) > 0 and '(' .. ARGV[6] or '+inf', '-inf', 'LIMIT', 0, PAGE)
    end
    local answer = { 'OK', now, #ids == PAGE and num(ids[#ids]) or 0 }
    for _, id in ipairs(ids) do
        local job = call('HMGET', key('job', id), unpack(SHOWN))
        if job[1] then
            table.insert(job, 1, id)
            answer[#answer + 1] = job
            answer[#answer + 1] = call('HGETALL', key('lanes', id))
            answer[#answer + 1] = is_one and call('LRANGE', key('failed', id), 0, FAILURES_MAX - 1) or {}
        end
    end
    return #answer == 3 and is_one and { 'GONE' } or answer
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
    must_be(DEAD, 'hash')
    for _, name in ipairs({ NODES, JOBS, OPEN, CHANGED, DUE, ENDED, STANDING }) do
        must_be(name, 'zset')
    end
    for _, set_of in ipairs({ OPEN, STANDING, ENDED }) do
        for _, id in ipairs(call('ZRANGE', set_of, 0, -1)) do
            local whole = must_be(key('job', id), 'hash')
            whole = must_be(key('lanes', id), 'hash') and whole
            whole = must_be(key('chunks', id), 'hash') and whole
            whole = must_be(key('json', id), 'string') and whole
            whole = must_be(key('failed', id), 'list') and whole
            if not whole then
                call('ZREM', set_of, id)
                call('ZREM', DUE, id)
                remove(id)
            else
                call('ZADD', JOBS, id, id)
                if set_of == OPEN then
                    touch(id)
                end
            end
        end
    end
    for _, id in ipairs(call('ZRANGE', JOBS, 0, -1)) do
        if not (is_open(id) or call('ZSCORE', STANDING, id) or call('ZSCORE', ENDED, id)) then
            remove(id) -- nothing else knows of it any more
        end
    end
    call('HSET', META, 'floor', num(meta('version'))) -- all nodes look at all
    return { 'OK', mended }
end

if verb == 'MEND' then
    return verbs.MEND()
end
local born = meta('born')
if not born then
    local last, version = call('ZRANGE', JOBS, -1, -1)[1], call('ZRANGE', CHANGED, -1, -1, 'WITHSCORES')[2]
    born = us
    call('HSET', META, 'born', born, 'last', last or '0', 'version', version or '0')
end
if ARGV[3] ~= '' and ARGV[3] ~= born then
    return { 'GONE', born }
end
return verbs[verb](born)
