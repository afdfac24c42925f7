# SPDX-License-Identifier: BSD-3-Clause
"""random_families -- grammar of the commands that only Redis serves: weight and line, as in random_commands.

Several write strings behind L1's back. Two kinds of sets: those at <key> hold small integers, whose order is fixed (an
intset), so any command may meet them; those at <skey> hold words, whose order is that of a hash table, so only commands
whose answer can be sorted, and none that writes in that order, may.
"""

import hashlib

LISTS = """
2 LPUSH <key> (<value>)+
2 RPUSH <key> (<value>)+
1 {LPUSHX|RPUSHX} <key> <value>
1 LPOP <key> [<number>]
1 RPOP <key> [<number>]
2 LRANGE <key> <index> <index>
1 LLEN <key>
1 LSET <key> <index> <value>
1 LINDEX <key> <index>
1 LINSERT <key> {BEFORE|AFTER|NEAR} <value> <value>
1 LREM <key> <index> <value>
1 LTRIM <key> <index> <index>
1 LPOS <key> <value> [RANK <number>] [COUNT <number>] [MAXLEN <number>]
1 LMOVE <key> <key> {LEFT|RIGHT|UP} {LEFT|RIGHT}
1 LMPOP {2|1|0|x} <key> <key> {LEFT|RIGHT} [COUNT <number>]
1 RPOPLPUSH <key> <key>
"""
SETS = """
2 SADD <key> (<smallint>)+
1 SREM <key> (<smallint>)+
1 SMEMBERS <key>
1 SCARD <key>
1 SISMEMBER <key> <smallint>
1 SMISMEMBER <key> (<smallint>)+
1 {SINTER|SUNION|SDIFF} <key> (<key>)+
1 {SINTERSTORE|SUNIONSTORE|SDIFFSTORE} <key> <key> <key>
1 SINTERCARD {2|1|0|x} <key> <key> [LIMIT <number>]
1 SMOVE <key> <key> <smallint>
0.5 SRANDMEMBER <key> [<number>]
1 SSCAN <key> 0 [MATCH {*|1*}] COUNT 100000
2 SADD <skey> (<word>)+
1 SREM <skey> (<word>)+
1 SMEMBERS <skey>
1 SISMEMBER <skey> <word>
1 SMOVE <skey> <skey> <word>
1 {SINTER|SUNION|SDIFF} <skey> (<skey>)+
1 {SINTERSTORE|SUNIONSTORE|SDIFFSTORE} <skey> <skey> <skey>
1 SPOP <skey> 100000
1 SSCAN <skey> 0 COUNT 100000
1 SORT <skey> ALPHA [DESC] [LIMIT 0 3]
"""
ZSETS = """
3 ZADD <key> OPTIONS:zadd (<float> <field>)+
1 ZSCORE <key> <field>
1 ZMSCORE <key> (<field>)+
1 ZINCRBY <key> <float> <field>
1 ZCARD <key>
1 ZCOUNT <key> <bound> <bound>
1 ZLEXCOUNT <key> <lex> <lex>
2 ZRANGE <key> <index> <index> [REV] [WITHSCORES]
1 ZRANGE <key> <bound> <bound> BYSCORE [REV] [LIMIT <index> <index>] [WITHSCORES]
1 ZRANGE <key> <lex> <lex> BYLEX [REV] [LIMIT 0 2]
1 ZREVRANGE <key> <index> <index> [WITHSCORES]
1 {ZRANGEBYSCORE|ZREVRANGEBYSCORE} <key> <bound> <bound> [WITHSCORES] [LIMIT 0 5]
1 {ZRANGEBYLEX|ZREVRANGEBYLEX} <key> <lex> <lex> [LIMIT 0 5]
1 {ZRANK|ZREVRANK} <key> <field>
1 {ZPOPMIN|ZPOPMAX} <key> [<number>]
1 ZMPOP {2|1|x} <key> <key> {MIN|MAX} [COUNT <number>]
1 ZREM <key> (<field>)+
1 ZREMRANGEBYRANK <key> <index> <index>
1 ZREMRANGEBYSCORE <key> <bound> <bound>
1 ZREMRANGEBYLEX <key> <lex> <lex>
1 ZRANGESTORE <key> <key> {0 -1|(1 +inf BYSCORE|- [g BYLEX} [REV]
1 {ZUNIONSTORE|ZINTERSTORE} <key> 2 <key> <key> [WEIGHTS <float> 2] [AGGREGATE {SUM|MIN|MAX|AVG}]
1 ZDIFFSTORE <key> 2 <key> <key>
1 {ZUNION|ZINTER} 2 <key> <key> [WEIGHTS 2 <float>] [AGGREGATE {SUM|MIN|MAX}] [WITHSCORES]
1 ZDIFF 2 <key> <key> [WITHSCORES]
1 ZINTERCARD 2 <key> <key> [LIMIT <number>]
0.5 ZRANDMEMBER <key> [{2|-2|0}] [WITHSCORES]
1 ZSCAN <key> 0 COUNT 100000
"""
STREAMS = """
3 XADD <key> [NOMKSTREAM] {|MAXLEN 3|MAXLEN = 2|MINID ~ 2-0} <streamid> <field> <value>
2 {XRANGE <key> <xbound> <xbound>|XREVRANGE <key> + - COUNT 2}
1 XLEN <key>
1 XDEL <key> (<streamid>)+
1 XTRIM <key> {MAXLEN|MINID|NOSUCH} {1|2-0|<number>}
1 XSETID <key> {9-9|1-1|abc}
1 XREAD [COUNT 2] STREAMS <key> {0|1-1|$|abc}
2 XGROUP CREATE <key> {g|h} {0|$|1-1} [MKSTREAM]
0.5 XGROUP {DESTROY <key> g|SETID <key> g 0|CREATECONSUMER <key> g c|DELCONSUMER <key> g c|NOSUCH}
2 XREADGROUP GROUP {g|h} {c|d} [COUNT 1] [NOACK] STREAMS <key> {>|0}
1 XACK <key> g (<streamid>)+
1 XPENDING <key> g {|- + 5|- + 5 c|IDLE 0 - + 2}
1 XCLAIM <key> g d 0 <streamid> [JUSTID] [FORCE]
1 XAUTOCLAIM <key> g d 0 0 [COUNT 2] [JUSTID]
1 XINFO {STREAM|GROUPS} <key>
0.5 XINFO {CONSUMERS <key> g|STREAM <key> FULL|NOSUCH <key>}
"""
BITS_AND_PLACES = """
1 SETBIT <key> <bit> {0|1|2}
1 GETBIT <key> <bit>
1 BITCOUNT <key> {|<index> <index>|<index> <index> BYTE|<index> <index> BIT|<index> <index> NEAR}
1 BITPOS <key> {0|1|2} {|<index>|<index> <index>|<index> <index> BIT}
1 BITOP {AND|OR|XOR|NOT|NAND} <key> <key> [<key>]
1 BITFIELD <key> [OVERFLOW {WRAP|SAT|FAIL|NOSUCH}] INCRBY {u8|i5|u64} {0|#1|100} <smallint> GET u4 0
1 BITFIELD_RO <key> GET {u8|i64|x} {0|#2|7}
1 PFADD <key> (<value>)+
1 PFCOUNT <key> [<key>]
1 PFMERGE <key> (<key>)+
1 GEOADD <key> [{NX|XX}] [CH] 13.361389 38.115556 <field> 15.087269 {37.502669|99|abc} g
1 GEOPOS <key> <field> none
1 GEOHASH <key> <field> none
1 GEODIST <key> f g [{m|km|mi|ft|ell}]
1 GEOSEARCH <key> {FROMMEMBER <field>|FROMLONLAT 15 37} {BYRADIUS 200 km|BYBOX 400 400 km} {ASC|DESC} [COUNT 2] [WITHCOORD] [WITHDIST] [WITHHASH]
1 GEOSEARCHSTORE <key> <key> FROMLONLAT 15 37 BYRADIUS 200 km [STOREDIST]
1 GEORADIUS <key> 15 37 200 km [WITHDIST] ASC [STORE <key>]
1 {GEORADIUS_RO <key> 15 37|GEORADIUSBYMEMBER_RO <key> <field>} 200 km ASC
"""
WHOLE_KEYS = """
1 SORT <key> BY nosort [STORE <key>]
1 {SORT|SORT_RO} <key> [BY {k:*|nosort}] [LIMIT 0 3] [GET {k:*|#|nosuch*}] [DESC] [ALPHA]
1 SORT <key> ALPHA STORE <key>
1 LCS <tkey> <tkey> [{LEN|IDX}] [MINMATCHLEN 2] [WITHMATCHLEN]
1 SET <tkey> <word>
2 DUMP <key>
2 RESTORE <key> {0|0|<millis>} <dump> [REPLACE] [{IDLETIME 5|FREQ 5|ABSTTL}]
1 MOVE <key> <db>
1 OBJECT {ENCODING|REFCOUNT} {<skey>|<tkey>}
0.3 OBJECT {NOSUCH <key>|ENCODING}
0.5 WAIT 0 0
"""
SCRIPTS = """
1 EVAL return(redis.call('GET',KEYS[1])) 1 <key>
1 EVAL return(redis.call('SET',KEYS[1],ARGV[1])) 1 <key> <value>
2 EVAL return(redis.call('SET','k:a',ARGV[1])) 0 <value>
1 EVAL return(redis.call('DEL','k:b','k:c')) 0
1 EVAL return{1,2.9,'x',{false,true,nil,4}} 0
1 EVAL return{err='MY<sp>error'} 0
1 EVAL return{ok='fine'} 0
1 EVAL return(redis.call('NOSUCH')) 0
1 EVAL return(redis.pcall('INCR',KEYS[1])) 1 <key>
1 EVAL return(redis.call('INCR',KEYS[1])) 1 <key>
0.5 EVAL error('boom') 0
0.5 EVAL syntax<sp>error 0
0.5 EVAL return<sp>nosuch 0
1 EVAL redis.setresp(3)return(redis.call('HGETALL',KEYS[1])) 1 <key>
0.5 EVAL return{double=1.5} 0
0.5 EVAL return{map={a=1}} 0
0.5 EVAL return(cjson.encode({1,ARGV[1]})) 0 abc
0.5 EVAL return(redis.sha1hex(ARGV[1])) 0 <value>
1 EVAL return(redis.call('EXPIRE',KEYS[1],ARGV[1])) 1 <key> <seconds>
0.5 EVAL return(KEYS[1]) {2|-1|x} <key>
0.5 EVAL_RO return(redis.call('SET',KEYS[1],ARGV[1])) 1 <key> <value>
0.5 EVAL_RO return(redis.call('TYPE',KEYS[1])) 1 <key>
1 EVAL_RO return(redis.call('STRLEN',KEYS[1])) 1 <key>
1 SCRIPT LOAD <script>
2 EVALSHA <sha> 1 <key>
0.5 EVALSHA_RO <sha> 1 <key>
0.5 SCRIPT EXISTS <sha> 0000000000000000000000000000000000000000
0.3 SCRIPT {FLUSH|FLUSH ASYNC|FLUSH NOSUCH|KILL|NOSUCH|EXISTS}
0.5 FUNCTION LOAD [REPLACE] <library>
1 FCALL bump 1 <key>
0.5 {FCALL_RO bump|FCALL_RO peek|FCALL peek} 1 <key>
0.5 FCALL nosuch 0
0.3 FUNCTION LIST [LIBRARYNAME lib*] [WITHCODE]
0.2 FUNCTION {DELETE lib|DELETE nosuch|STATS|KILL|FLUSH|NOSUCH|RESTORE abc|DUMP}
"""
# They find something, or wait for a moment that both servers count.
BLOCKING = """
1 {BLPOP|BRPOP} (<key>)+ 0.001
0.5 BLMOVE <key> <key> {LEFT|RIGHT} {LEFT|RIGHT|UP} 0.001
0.3 BRPOPLPUSH <key> <key> 0.001
0.5 BLMPOP 0.001 {2|1} <key> <key> LEFT [COUNT <number>]
0.5 {BZPOPMIN|BZPOPMAX} (<key>)+ 0.001
0.5 BZMPOP 0.001 2 <key> <key> {MIN|MAX} [COUNT 2]
0.5 XREAD BLOCK 1 STREAMS <key> {$|0}
0.5 XREADGROUP GROUP g c BLOCK 1 STREAMS <key> {>|0}
0.3 BLPOP <key> {-1|abc|1e400|}
"""
OTHERS = "".join(table.lstrip("\n") for table in (LISTS, SETS, ZSETS, STREAMS, BITS_AND_PLACES, WHOLE_KEYS, SCRIPTS,
                                                  BLOCKING))

APPENDER = b"return(redis.call('APPEND',KEYS[1],'!'))"
SHA = hashlib.sha1(APPENDER).hexdigest().encode()
LIBRARY = b"""#!lua name=lib
redis.register_function('bump', function(keys) return redis.call('APPEND', keys[1], '+') end)
redis.register_function{function_name='peek', callback=function(keys) return redis.call('TYPE', keys[1]) end, flags={'no-writes'}}
"""
# Values as DUMP of 7.0.15 gives them: strings, a list, a set, a hash, a sorted set, a stream; and one that is broken.
DUMPS = [
    b"\x00\x06dumped\n\x00\xdcJ\x84\xcd\x9a\x91\xec\xe2",
    b"\x00\xc0*\n\x00\x81\xfb\\\xfa\x86cOP",
    b"\x12\x01\x02\x0c\x0c\x00\x00\x00\x02\x00\x81a\x02\x02\x01\xff\n\x00\xb6\xf1\xc0\x8f09\xa7\xda",
    b"\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x05\x00\n\x00\xc0\xe5\xee\xfd\xeb\x98m\xf5",
    b"\x10\x0c\x0c\x00\x00\x00\x02\x00\x81f\x02\x01\x01\xff\n\x001\xba\x08\x19I\xa0\xe3\xdd",
    b"\x11\x0f\x0f\x00\x00\x00\x02\x00\x81f\x02\x831.5\x04\xff\n\x00\xd1iPbZ:R\xab",
    b"\x13\x01\x10\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x03\x1d\x1d\x00\x00\x00\n\x00\x01\x01\x00"
    b"\x01\x01\x01\x81f\x02\x00\x01\x02\x01\x00\x01\x00\x01\x81v\x02\x04\x01\xff\x01\x03\x03\x03\x03\x00\x00\x01\x00\n\x00\x1c2"
    b"\xff\xb7&#\x1e\xe1",
    b"\x00\x06dumped\n\x00\xdcJ\x84\xcd\x9a\x91\xec\x00",
]
