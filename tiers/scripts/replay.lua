-- SPDX-License-Identifier: BSD-3-Clause
-- A page of the log of numbered frames, for a node that missed some. See tiers/replay.h.
--
--   ARGV 1 coherence-db     2, 3 counter and random of the epoch that is asked about, as terrace:meta has them
--        4 the first seq that is wanted     5 entries of a page
-- Answer: { 1, seq now, seq of the oldest entry or -1, seq up to which this page tells all, frame ... }, or { 0 } where another
-- epoch stands. All are told as strings where they might be above 2^53.
--
-- It changes nothing. The seq and the entries are of one moment: what is not in the log up to it was never in it, or it was
-- cut off at the front, which the oldest entry shows.
redis.call('SELECT', ARGV[1])
local meta = redis.pcall('HMGET', 'terrace:meta', 'epoch', 'rand')
if meta.err then
    return meta
elseif meta[1] ~= ARGV[2] or meta[2] ~= ARGV[3] then
    return { 0 }
end
local last = redis.call('GET', 'terrace:seq')
if not last then
    return { 0 }
end

local function seq_of(entry)
    return string.match(entry[1], '^%d+')
end

local oldest = redis.call('XRANGE', 'terrace:log', '-', '+', 'COUNT', 1)
local page = redis.call('XRANGE', 'terrace:log', ARGV[4] .. '-0', '+', 'COUNT', ARGV[5])
local answer = { 1, last, oldest[1] and seq_of(oldest[1]) or '-1', last }
if #page == tonumber(ARGV[5]) then
    answer[4] = seq_of(page[#page])
end
for _, entry in ipairs(page) do
    if entry[2][1] == 'f' then -- others say where an epoch began
        answer[#answer + 1] = entry[2][2]
    end
end
return answer
