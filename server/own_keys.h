/* SPDX-License-Identifier: BSD-3-Clause */
/* own_keys.h -- what a script in Redis counts as the nodes' own keys in coherence-db: the function own().
 *
 * Redis has no count of the keys with a prefix. So those of fixed names are looked at, and those that a set of theirs
 * names: of the queue of warm jobs (tiers/scripts/warm.lua) five for each job, 5,500 at most, in calls of a thousand; of
 * the pages of hot lists (tiers/scripts/hot.lua) two for each node. Not counted are the keys of loads under way and of
 * dictionaries (terrace:lease:*, terrace:dict:*), which nothing names. */
#ifndef TERRACE_SERVER_OWN_KEYS_H
#define TERRACE_SERVER_OWN_KEYS_H

/* Of a set that is none (somebody wrote there) pcall's answer has no elements. */
#define OWN_KEYS_LUA                                                                              \
    "local function own() "                                                                       \
    "local k={'terrace:meta','terrace:seq','terrace:nodes','terrace:log','terrace:tags',"         \
    "'terrace:hot','terrace:hot:at','terrace:hot:held','terrace:warm:meta','terrace:warm:nodes'," \
    "'terrace:warm:dead','terrace:warm:jobs','terrace:warm:open','terrace:warm:changed',"         \
    "'terrace:warm:due','terrace:warm:ended','terrace:warm:standing'} "                           \
    "for _,id in ipairs(redis.pcall('ZRANGE','terrace:warm:jobs',0,-1)) do "                      \
    "for _,kind in ipairs({'job','json','lanes','chunks','failed'}) do "                          \
    "k[#k+1]='terrace:warm:'..kind..':'..id end end "                                             \
    "for _,page in ipairs(redis.pcall('ZRANGE','terrace:hot:held',0,-1)) do "                     \
    "for i=0,1 do k[#k+1]='terrace:hot:held:'..page..':'..i end end "                             \
    "local n=0 for i=1,#k,1000 do "                                                               \
    "n=n+redis.call('EXISTS',unpack(k,i,math.min(i+999,#k))) end return n end "

#endif
