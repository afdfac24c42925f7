# SPDX-License-Identifier: BSD-3-Clause
"""random_commands -- random but replayable commands for the differential test.

GRAMMAR says for every command what its arguments may be; a Generator draws from it with a seeded random.Random. Few
keys and few values, so that commands meet each other's results; all options in all orders, also those that exclude each
other; one command in twelve is spoiled (an argument dropped, added, doubled, or replaced by a strange one).

Words of the grammar, separated by spaces:
    LITERAL       as it stands (upper case; sent in random case)
    <thing>       one drawn thing: see Generator.draw_*
    {a|b c|d}     one of the alternatives
    [a]           sometimes
    (a)+          one to four times
    OPTIONS:x     zero to three of the option table x, in any order

Lives are chosen so that the two servers cannot differ by being asked a millisecond apart: deadlines are long past or
far away, and two relative ones are never close to each other.
"""

import re

from random_families import APPENDER, DUMPS, LIBRARY, OTHERS, SHA

STRANGE_NUMBERS = [b"0", b"1", b"-1", b"2", b"10", b"9223372036854775807", b"-9223372036854775808",
                   b"9223372036854775808", b"-9223372036854775809", b"99999999999999999999", b"1.5", b"abc", b"", b" 1",
                   b"1 ", b"+1", b"01", b"-0", b"1e5", b"0x10", b"nan", b"inf", b"-inf", b"1e400", b"3.0", b"1\x00",
                   b"4294967296", b"2147483648", b"18446744073709551615"]
# Never a life that ends while the case runs.
STRANGE_LIVES = [number for number in STRANGE_NUMBERS if number not in (b"1", b"2", b"10")]
STRANGE_ARGS = STRANGE_LIVES + [b"\x00\xff", b"two words", b"line\r\nbreak", b"*", b"k:a", b"'quoted'", b"\"",
                                  b"EX", b"NX", b"GET", b"REPLACE", b"x" * 200]
VALUES = [b"", b"0", b"1", b"-1", b"10", b"9223372036854775807", b"-9223372036854775808", b"9223372036854775806",
          b"3.14", b"1e3", b"1.0e2", b"abc", b"hello world", b"x" * 44, b"x" * 45, b"y" * 1000, b"z" * 5000,
          bytes(range(256)), b"\r\n+OK\r\n", b"007", b" 7", b"-0", b"0.1", b"5000000000", b"nan", b"1234567890" * 3]
KEYS = [b"k:a", b"k:b", b"k:c", b"k:d", b"k:e", b"k:f"]
PATTERNS = [b"*", b"k*", b"k:?", b"k:[abc]", b"k:[^a]", b"k:[a-c]", b"*:*", b"k:\\a", b"[a-", b"**a", b"", b"k:a",
            b"nothing*", b"\xff*", b"*[", b"[]k", b"?:?", b"k:[c-a]"]
FLOATS = [b"0", b"1", b"-1", b"0.1", b"1.5", b"3.0", b"-2.25", b"1e3", b"1e-5", b"5.0e3", b"1e17", b"-1e17", b"inf",
          b"-inf", b"nan", b"abc", b"", b"0.30000000000000004", b"1e400", b"  1", b"1 ", b"0x1p3", b"+3", b"12345678.9"]

# Sets of integers have an order, those of words none; an ID of * is the time; blocking for ever is no test; nor is FUNCTION
# DUMP of what was loaded in another order.
UNSPOILED = {b"SADD", b"SMOVE", b"XADD", b"BLPOP", b"BRPOP", b"BLMOVE", b"BRPOPLPUSH", b"BLMPOP", b"BZPOPMIN", b"BZPOPMAX",
             b"BZMPOP", b"XREAD", b"XREADGROUP", b"WAIT", b"UNSUBSCRIBE", b"PUNSUBSCRIBE", b"SUNSUBSCRIBE"}

OPTION_TABLES = {
    "set": ["NX", "XX", "GET", "KEEPTTL", "EX <seconds>", "PX <millis>", "EXAT <unix>", "PXAT <unixms>"],
    "getex": ["PERSIST", "EX <seconds>", "PX <millis>", "EXAT <unix>", "PXAT <unixms>"],
    "expire": ["NX", "XX", "GT", "LT"],
    "copy": ["REPLACE", "DB <db>"],
    "zadd": ["NX", "XX", "GT", "LT", "CH", "INCR"],
}

# weight, line
STRINGS = """
8 GET <key>
8 SET <key> <value> OPTIONS:set
3 SET <key> <value>
2 SETNX <key> <value>
2 SETEX <key> <seconds> <value>
2 PSETEX <key> <millis> <value>
2 GETSET <key> <value>
2 GETDEL <key>
4 GETEX <key> OPTIONS:getex
4 MGET (<key>)+
3 MSET (<key> <value>)+
2 MSETNX (<key> <value>)+
3 DEL (<key>)+
2 UNLINK (<key>)+
3 EXISTS (<key>)+
2 TOUCH (<key>)+
3 TYPE <key>
3 STRLEN <key>
3 APPEND <key> <value>
3 GETRANGE <key> <index> <index>
2 SUBSTR <key> <index> <index>
3 SETRANGE <key> <offset> <value>
3 INCR <key>
2 DECR <key>
3 INCRBY <key> <number>
2 DECRBY <key> <number>
3 INCRBYFLOAT <key> <float>
3 EXPIRE <key> <seconds> OPTIONS:expire
2 PEXPIRE <key> <millis> OPTIONS:expire
2 EXPIREAT <key> <unix> OPTIONS:expire
2 PEXPIREAT <key> <unixms> OPTIONS:expire
3 TTL <key>
3 PTTL <key>
2 EXPIRETIME <key>
2 PEXPIRETIME <key>
3 PERSIST <key>
3 KEYS <pattern>
3 SCAN 0 COUNT 100000
2 SCAN 0 MATCH <pattern> COUNT 100000
2 SCAN 0 COUNT 100000 TYPE {string|list|hash|set|zset|stream|nosuch|<value>}
1 SCAN <number> [MATCH <pattern>] [COUNT <number>] [TYPE string]
2 RANDOMKEY
3 RENAME <key> <key>
2 RENAMENX <key> <key>
3 COPY <key> <key> OPTIONS:copy
2 DBSIZE
4 SELECT <db>
1 OBJECT ENCODING <key>
1 OBJECT {REFCOUNT|IDLETIME|FREQ|NOSUCH} <key>
1 MEMORY USAGE <key> [SAMPLES <number>]
"""
HASHES = """
4 HSET <key> (<field> <value>)+
1 HMSET <key> (<field> <value>)+
2 HSETNX <key> <field> <value>
4 HGET <key> <field>
3 HMGET <key> (<field>)+
3 HGETALL <key>
2 HDEL <key> (<field>)+
2 HEXISTS <key> <field>
2 HLEN <key>
2 HSTRLEN <key> <field>
2 HKEYS <key>
2 HVALS <key>
3 HINCRBY <key> <field> <number>
3 HINCRBYFLOAT <key> <field> <float>
1 HRANDFIELD <key>
2 HRANDFIELD <key> <smallcount> [WITHVALUES]
2 HSCAN <key> {0|<cursor>} [MATCH <pattern>] [COUNT <number>]
"""
FLUSHES = """
2 FLUSHDB {|ASYNC|SYNC|<value>}
1 FLUSHALL {|ASYNC|SYNC|<value>}
2 SWAPDB <db> <db>
"""
SESSION = """
1 PING
1 PING <value>
1 ECHO <value>
0.5 TIME
0.5 HELLO {2|3}
0.5 HELLO {2|3|1|4|abc|<number>} [SETNAME <name>] [AUTH default <value>]
0.3 RESET
0.5 AUTH <value> [<value>]
0.5 AUTH default <value>
0.5 CLIENT {ID|INFO|GETNAME|UNPAUSE|NOSUCH|}
0.5 CLIENT SETNAME <name>
0.3 CLIENT NO-EVICT {ON|OFF|<value>}
0.3 CLIENT KILL {<value>|ID <value>|ID 99999999|ADDR 1.2.3.4:5|TYPE {normal|nosuch} ID 99999999|LADDR x SKIPME maybe}
0.3 CLIENT LIST {ID 99999999|TYPE nosuch|ID abc|NOSUCH}
0.3 CLIENT PAUSE {abc|-1|0 WRITE|0 NOSUCH}
0.3 CLIENT REPLY {ON|NOSUCH}
0.3 CONFIG SET nosuch <value>
0.3 CONFIG {GET nosuch|RESETSTAT|NOSUCH|GET|SET}
0.5 COMMAND GETKEYS {GET <key>|MSET <key> <value> <key> <value>|PING|NOSUCH a|DEL (<key>)+|RENAME <key> <key>|SET <key>}
0.3 COMMAND INFO nosuch
0.3 COMMAND {COUNT|NOSUCH|COUNT extra|LIST FILTERBY MODULE x|LIST FILTERBY NOSUCH x}
0.3 SLOWLOG {LEN|RESET|GET|GET <number>|NOSUCH}
0.3 LATENCY {LATEST|RESET|RESET <value>|HISTORY <value>|NOSUCH|HISTORY}
0.3 DEBUG SLEEP 0
0.5 NOSUCH (<value>)+
0.3 <value> <value>
"""
# Outside of a block; test_differential.make_block makes whole ones.
TRANSACTIONS = """
0.5 WATCH (<key>)+
0.3 UNWATCH
0.2 {EXEC|DISCARD|EXEC <value>|UNWATCH <value>}
"""
# Those of a subscriber; test_differential.make_listening ends what begins.
CHANNELS = """
0.3 {UNSUBSCRIBE|PUNSUBSCRIBE|SUNSUBSCRIBE} nosuch
0.3 PUBLISH nobody <value>
0.3 SPUBLISH nobody <value>
0.3 PUBSUB {CHANNELS nobody|NUMSUB nobody|SHARDNUMSUB nobody|SHARDCHANNELS nobody|NOSUCH|NUMSUB|CHANNELS a b}
"""


def _parse(table):
    lines = []
    for line in table.strip().splitlines():
        weight, text = line.split(" ", 1)
        lines.append((float(weight), text))
    return lines


_WORD = re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}|\[[^\]]*\]|\([^)]*\)\+|\S+")


def _alternatives(text):
    """Splits at the | of the outermost level."""
    parts, depth, part = [], 0, ""
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        if letter == "|" and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += letter
    return parts + [part]


class Generator:
    """Draws commands: lists of bytes."""

    def __init__(self, rng, with_others, with_flushes):
        self.rng, self.with_others = rng, with_others
        tables = STRINGS + HASHES.lstrip("\n") + (FLUSHES.lstrip("\n") if with_flushes else "")
        tables += SESSION.lstrip("\n") + TRANSACTIONS.lstrip("\n") + CHANNELS.lstrip("\n") + (OTHERS if with_others else "")
        lines = _parse(tables)
        self.weights = [weight for weight, _ in lines]
        self.lines = [text for _, text in lines]

    def command(self):
        line = self.rng.choices(self.lines, self.weights)[0]
        args = self.expand(line)
        if self.rng.random() < 1 / 12:
            args = self.spoil(args)
        return args

    def expand(self, text):
        args = []
        for word in _WORD.findall(text):
            args += self.expand_word(word)
        return args

    def expand_word(self, word):
        rng = self.rng
        if word[0] == "<" and word[-1] == ">":
            return [getattr(self, "draw_" + word[1:-1])()]
        if word[0] == "{":
            return self.expand(rng.choice(_alternatives(word[1:-1])))
        if word[0] == "[":
            return self.expand(word[1:-1]) if rng.random() < 0.4 else []
        if word[0] == "(" and word.endswith(")+"):
            return [arg for _ in range(rng.randint(1, 4)) for arg in self.expand(word[1:-2])]
        if word.startswith("OPTIONS:"):
            table = OPTION_TABLES[word[8:]]
            count = rng.choices([0, 1, 2, 3], [40, 35, 20, 5])[0]
            return [arg for _ in range(count) for arg in self.expand(rng.choice(table))]
        if word.isupper():
            word = rng.choices([word, word.lower(), word.capitalize()], [8, 2, 1])[0]
        return [word.replace("<sp>", " ").encode()]

    def spoil(self, args):
        rng = self.rng
        if args[0].upper() in UNSPOILED or any(arg.startswith(b"s:") for arg in args):
            return args
        args = list(args)
        i = rng.randrange(1, len(args)) if len(args) > 1 else 0
        how = rng.choice(["drop", "drop last", "add", "double", "replace", "replace"])
        if how == "drop" and i:
            del args[i]
        elif how == "drop last" and i:
            del args[-1]
        elif how == "add":
            args.append(rng.choice(STRANGE_ARGS))
        elif how == "double":
            args.append(args[i])
        elif i and not self.is_dangerous(args):
            args[i] = rng.choice(STRANGE_ARGS)
        return args

    @staticmethod
    def is_dangerous(args):
        """Spoiled, these could take half a gigabyte or the server away."""
        return args[0].upper() in (b"SETRANGE", b"SETBIT", b"CLIENT", b"DEBUG", b"CONFIG", b"HELLO", b"BITFIELD")

    def number_or_strange(self, number, odds=0.85):
        return b"%d" % number if self.rng.random() < odds else self.rng.choice(STRANGE_NUMBERS)

    def draw_key(self):
        return self.rng.choice(KEYS)

    def draw_value(self):
        return self.rng.choice(VALUES)

    def draw_skey(self):
        return self.rng.choice([b"s:a", b"s:b", b"s:c"])

    def draw_tkey(self):
        """Short strings."""
        return self.rng.choice([b"t:a", b"t:b"])

    def draw_word(self):
        """Without a zero byte, at which SORT ALPHA stops comparing."""
        return self.rng.choice([b"ohmytext", b"mynewtext", b"", b"a", b"bb", b"\xfe\xff", b"12", b"w" * 70])

    def draw_bound(self):
        return self.rng.choice([b"-inf", b"+inf", b"0", b"(1", b"1.5", b"10", b"(inf", b"abc", b"nan", b"("])

    def draw_lex(self):
        return self.rng.choice([b"-", b"+", b"[f", b"(g", b"[h", b"[", b"abc", b"(", b""])

    def draw_xbound(self):
        return self.rng.choice([b"-", b"+", b"1", b"1-2", b"(1-1", b"5", b"abc", b"(", b"(-"])

    def draw_dump(self):
        return self.rng.choice(DUMPS)

    def draw_script(self):
        return APPENDER

    def draw_sha(self):
        return self.rng.choice([SHA, SHA.upper(), b"0" * 40, b"abc"])

    def draw_library(self):
        return self.rng.choice([LIBRARY, LIBRARY, b"#!lua name=lib\n", b"#!lua\nreturn", b"no shebang", b"#!lua name=other\nsyntax error"])

    def draw_name(self):
        return self.rng.choice([b"", b"me", b"you", b"two words", b"line\nbreak", b"\xff", b"n" * 100])

    def draw_field(self):
        return self.rng.choice([b"f", b"g", b"h", b"f", b"g", b"h", b"", b"7", b"k:a", b"long" * 20])

    def draw_smallcount(self):
        return self.number_or_strange(self.rng.choice([0, 1, 2, 3, 10, -1, -4]))

    def draw_cursor(self):
        return self.rng.choice([b"1", b"17", b"", b"-0", b"-1", b"abc", b" 1", b"99999999999999999999", b"1\x00x"])

    def draw_pattern(self):
        return self.rng.choice(PATTERNS)

    def draw_float(self):
        return self.rng.choice(FLOATS)

    def draw_number(self):
        return self.number_or_strange(self.rng.choice([0, 1, -1, 2, 5, 100, -7, 2**62]), 0.7)

    def draw_smallint(self):
        return b"%d" % self.rng.randint(-3, 20)

    def draw_index(self):
        return self.number_or_strange(self.rng.choice([0, 1, 2, 3, -1, -2, -3, 5, 44, 1000, -1000]))

    def draw_offset(self):
        """Never between 100 KB and 512 MB: that would take the memory it names."""
        return self.rng.choice([b"0", b"1", b"2", b"5", b"50", b"1000", b"-1", b"abc", b"536870912", b"4294967296",
                                b"9223372036854775807", b"9223372036854775808", b"", b"1.5"])

    def draw_bit(self):
        return self.rng.choice([b"0", b"1", b"7", b"8", b"100", b"-1", b"abc", b"4294967296"])

    def draw_db(self):
        return self.rng.choices([b"0", b"1", b"2", b"16", b"-1", b"abc", b"99999999999999999999", b""],
                                [8, 4, 4, 1, 1, 1, 1, 1])[0]

    def draw_streamid(self):
        return self.rng.choice([b"1-1", b"1-2", b"5-*", b"0-0", b"abc", b"7-7"])

    def draw_seconds(self):
        return self.life(self.far_ms() // 1000)

    def draw_millis(self):
        return self.life(self.far_ms())

    def life(self, number):
        return b"%d" % number if self.rng.random() < 0.8 else self.rng.choice(STRANGE_LIVES)

    def far_ms(self):
        """A day at least, and hardly ever the same twice: GT and LT decide alike on both servers."""
        return self.rng.randrange(100_000_000, 10_000_000_000)

    def draw_unix(self):
        # Steps of 10 s: further apart than what the comparison of TTL forgives.
        return self.rng.choice([b"%d" % (4_000_000_000 + 10 * self.rng.randrange(5)), b"1", b"0", b"-1", b"100",
                                b"9223372036854775807", b"abc", b"1.5", b"99999999999"])

    def draw_unixms(self):
        return self.rng.choice([b"%d" % (4_000_000_000_000 + 10_000 * self.rng.randrange(5)), b"1", b"0", b"-1",
                                b"9223372036854775807", b"9223372036854775808", b"abc"])
