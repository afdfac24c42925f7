-- SPDX-License-Identifier: BSD-3-Clause
-- The lease: who in the cluster loads a managed key. See tiers/lease.h.
--
--   1 coherence-db     2, 3 counter and random of the epoch that must stand     4 what to do     5 database of the key
--   6 the key          7 a W frame, of END with the key; its numbers are filled in here
-- and
--   WIN    8 what a token begins with: 14 digits     9 the version that was seen in L2; empty: any     10 life in ms
--          11 the marks of END that are a reason to say no
--   RENEW  8 token     9 life in ms
--   END    8 token     9 '' (the next one may load), '!' (it failed) or '-' (nobody filled it)     10 for so many ms
--          11 how long the count of failures is kept behind that, in ms
-- Answer: { what became of it, ... }: WON token, seq | BUSY ms | FAILED ms | IDLE ms | AGAIN | OK | LOST | EPOCH.
--
-- The lease is a string beside the key's writes (managed.lua deletes it with each of them): `token:seq` while somebody
-- loads, `!nn:rest` or `-nn:rest` afterwards, which says no until its time to live is down to `rest`. `nn` counts failures,
-- in hexadecimal digits; they are the end of the next token, too.
redis.call('SELECT', ARGV[1])
local meta = redis.pcall('HMGET', 'terrace:meta', 'epoch', 'rand')
if meta[1] ~= ARGV[2] or meta[2] ~= ARGV[3] then
    return { 'EPOCH' } -- an error has no elements: a record that is not ours counts as none
end

local verb, db, key, frame = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local name = 'terrace:lease:' .. db .. ':' .. key
local stands = redis.pcall('GET', name)
if type(stands) == 'table' then
    redis.call('DEL', name)
    stands = false
end

local function tell()
    local seq = redis.call('INCR', 'terrace:seq')
    redis.call('PUBLISH', 'terrace:bus', string.sub(frame, 1, 16) ..
        struct.pack('<I8', tonumber(ARGV[2])) .. ARGV[3] .. struct.pack('<I8', seq) .. string.sub(frame, 41))
    return seq
end

local function holds(token)
    return stands and string.match(stands, '^(%w+):%d+$') == token
end

local function version_of_key()
    redis.call('SELECT', db)
    local head = redis.pcall('GETRANGE', key, 0, 31)
    redis.call('SELECT', ARGV[1])
    if type(head) == 'string' and #head == 32 and string.sub(head, 1, 4) == '\245TE\1' then
        return (struct.unpack('<I8', string.sub(head, 9)))
    end
    return 0
end

if verb == 'WIN' then
    local version = version_of_key()
    if #ARGV[9] > 0 and tonumber(ARGV[9]) ~= version then
        return { 'AGAIN' } -- somebody wrote it meanwhile
    end
    local left = stands and redis.call('PTTL', name) or 0
    local mark, failures, rest = string.match(stands or '', '^([!-])(%x%x):(%d+)$')
    if mark and left > tonumber(rest) and string.find(ARGV[11], mark, 1, true) then
        return { mark == '!' and 'FAILED' or 'IDLE', left - tonumber(rest) }
    elseif stands and not mark and left > 0 then
        return { 'BUSY', left }
    end
    local seq = tell() -- the version of what will be filled in, which nothing else may have
    local token = ARGV[8] .. (mark and failures or '00')
    redis.call('SET', name, token .. ':' .. string.format('%.0f', seq), 'PX', ARGV[10])
    return { 'WON', token, seq }
end

if not holds(ARGV[8]) then
    return { 'LOST' }
elseif verb == 'RENEW' then
    redis.call('PEXPIRE', name, ARGV[9])
    return { 'OK' }
end
redis.call('DEL', name) -- goes without memory; and Redis lets a script go on that has begun to write
if #ARGV[9] > 0 then
    local failures = math.min(tonumber(string.sub(ARGV[8], -2), 16) + 1, 255)
    redis.call('SET', name, string.format('%s%02x:%d', ARGV[9], failures, tonumber(ARGV[11])), 'PX', ARGV[10] + ARGV[11])
end
tell() -- last: whoever is woken finds what was done, for a script is one step; an error before it tells nobody
return { 'OK' }
