# SPDX-License-Identifier: BSD-3-Clause
"""Managed keys as clients read them. What lies in Redis is put there by the test itself (envelopes.py)."""

import pathlib
import random
import re
import signal
import threading
import time

import pytest

import wire
from envelopes import LZ4, NEGATIVE, seal
from harness import until

pytestmark = pytest.mark.own

CONFIG = """
[namespace pages]
prefix = m:
format = managed
[namespace other]
prefix = o:
format = managed
"""


def configured(stage, text, *flags, l2):
    path = stage.folder / f"{len(stage.processes)}.conf"
    path.write_text(text)
    node = stage.node(str(path), *flags, l2=l2)
    node.config = path
    return node


@pytest.fixture(scope="module")
def server(redis_server):
    return redis_server.client()


@pytest.fixture(scope="module")
def managed(module_stage, redis_server):
    return configured(module_stage, CONFIG, l2=redis_server)


@pytest.fixture(params=[2, 3], ids=["resp2", "resp3"])
def conn(managed, server, request):
    server.flushdb()  # not the nodes' own keys
    managed.wait_synced()
    with managed.wire(proto=request.param) as connection:
        connection.proto = request.param
        yield connection


def put(server, key, value, fresh_ms=0, swr_ms=0, sie_ms=0, px=None, **more):
    """`px`: what is left of its life; else all of it."""
    whole = fresh_ms + max(swr_ms, sie_ms) if fresh_ms else None
    server.set(key, seal(value, fresh_ms=fresh_ms, swr_ms=swr_ms, sie_ms=sie_ms, **more), px=px or whole)


READS = ("GET", "MGET", "EXISTS", "TOUCH", "TYPE", "STRLEN", "TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME")


def test_reads_answer_as_redis_does_of_a_plain_key(conn, server, redis_server):
    """Byte for byte; the fresh life is the time to live. Milliseconds may have passed between the two."""
    put(server, "m:forever", b"v" * 5000, tags=["red"])
    put(server, "m:minute", b"", fresh_ms=60000, swr_ms=5000, sie_ms=90000)
    server.set("p:forever", b"v" * 5000)
    server.set("p:minute", b"", px=60000)
    with redis_server.wire(proto=conn.proto) as oracle:
        for _ in range(2):  # from L2, and from L1
            for name in ("forever", "minute", "none"):
                for word in READS:
                    got, wanted = conn.ask_raw(word, f"m:{name}"), oracle.ask_raw(word, f"p:{name}")
                    if name == "minute" and word.startswith("P"):
                        assert 0 <= abs(int(got[1:]) - int(wanted[1:])) < 2000, (word, got, wanted)
                    else:
                        assert got == wanted, (word, name)
            for word in ("MGET", "EXISTS", "TOUCH"):
                words = [f"{{}}:{name}" for name in ("none", "minute", "forever", "minute", "none", "forever")]
                got = conn.ask_raw(word, *(each.format("m") for each in words))
                assert got == oracle.ask_raw(word, *(each.format("p") for each in words))
            for words in (("GET",), ("GET", "{}:minute", "more"), ("MGET",), ("TTL", "{}:none", "1")):
                assert conn.ask_raw(*(each.format("m") for each in words)) == oracle.ask_raw(*(each.format("p") for each in words))


def test_the_second_read_is_served_from_memory_until_the_value_changes(conn, server, redis_server, managed):
    put(server, "m:k", b"one", fresh_ms=60000)

    def asks_nobody():
        redis_server.client().config_resetstat()
        assert [conn.ask(word, "m:k") for word in ("GET", "STRLEN", "EXISTS", "MGET")] == [b"one", 3, 1, [b"one"]]
        return redis_server.calls("get") == 0

    until(asks_nobody, 10, "what the test wrote was announced, and the value is kept")
    put(server, "m:k", b"two", version=2)
    until(lambda: conn.ask("GET", "m:k") == b"two", 10, "the change was announced")
    assert managed.info("namespaces")["ns_pages"].startswith("prefix=m:,format=managed,")


def test_what_is_not_fresh_any_more_has_no_time_left_and_at_the_end_does_not_exist(conn, server):
    put(server, "m:stale", b"v", fresh_ms=1000, swr_ms=60000, px=50000)
    put(server, "m:spare", b"v", fresh_ms=1000, swr_ms=1000, sie_ms=60000, px=50000)
    put(server, "m:soft", b"v", fresh_ms=60000, soft=1)
    put(server, "m:soon", b"v", fresh_ms=40)
    for key, exists in (("m:stale", 1), ("m:soft", 1), ("m:spare", 0)):
        assert [conn.ask(word, key) for word in ("EXISTS", "PTTL", "TTL")] == [exists, 0 if exists else -2, 0 if exists else -2], key
    assert conn.ask("TYPE", "m:stale") != conn.ask("TYPE", "m:spare") == b"none"
    until(lambda: conn.ask("EXISTS", "m:soon") == 0, 10, "its life is over")


def test_what_no_node_wrote_is_shown_as_it_is_and_what_is_broken_never(conn, server, managed):
    before = malformed(managed)
    whole = seal(b"value", version=5, fresh_ms=60000)
    server.set("m:foreign", b"by hand", px=60000)
    server.set("m:empty", b"")
    server.set("m:magic", b"\xf5T")
    server.set("m:flipped", whole[:50] + bytes([whole[50] ^ 1]) + whole[51:])
    server.set("m:cut", whole[:-1])
    server.set("m:short", whole[:20])
    server.set("m:other", whole[:3] + b"\x02" + whole[4:])
    server.set("m:bomb", seal(b"\x1f", kind=LZ4, value_size=100 << 20))
    assert conn.ask("MGET", "m:foreign", "m:empty", "m:magic") == [b"by hand", b"", b"\xf5T"]
    assert 58000 < conn.ask("PTTL", "m:foreign") <= 60000
    broken = ["m:flipped", "m:cut", "m:short", "m:other", "m:bomb"]
    assert conn.ask("EXISTS", *broken) == 0
    assert [conn.ask("TYPE", key) for key in broken] == [b"none"] * 5
    assert malformed(managed) == before + 10
    assert [conn.ask("SETNX", key, "new") for key in broken] == [1] * 5
    assert conn.ask("MGET", *broken) == [b"new"] * 5
    server.hset("m:hash", "f", "v")
    assert conn.ask("GET", "m:hash").startswith(b"WRONGTYPE")


def malformed(node):
    return int(re.search(r"^terrace_envelopes_malformed_total (\d+)$", node.admin("/metrics")[1], re.M).group(1))


def test_a_negative_entry_is_no_key(conn, server):
    put(server, "m:none", b"", fresh_ms=60000, kind=NEGATIVE)
    assert conn.ask("GET", "m:none") == conn.ask("GET", "m:absent")
    assert [conn.ask(word, "m:none") for word in ("EXISTS", "PTTL", "STRLEN", "TYPE")] == [0, -2, 0, b"none"]


def explain(conn, key):
    told = conn.ask("CACHE.EXPLAIN", key)
    pairs = told if isinstance(told[0], list) else zip(told[::2], told[1::2])
    return dict(pairs)


def test_explain_says_what_a_value_is_worth(conn, server):
    put(server, "m:fresh", b"v", version=9, fresh_ms=60000, load_ms=7, tags=["a", "b"])
    put(server, "m:stale", b"v", fresh_ms=1000, swr_ms=60000, px=50000)
    put(server, "m:spare", b"v", fresh_ms=1000, sie_ms=60000, px=50000)
    put(server, "m:none", b"", fresh_ms=60000, kind=NEGATIVE)
    states = {"m:fresh": b"fresh", "m:stale": b"stale", "m:spare": b"spare", "m:none": b"negative"}
    before = explain(conn, "m:fresh")
    assert (before[b"tier"], before[b"state"], before[b"format"], before[b"version"]) == (b"l2", b"absent", b"managed", -1)
    conn.ask("EXISTS", *states)
    told = {key: explain(conn, key) for key in states}
    assert {key: it[b"state"] for key, it in told.items()} == states
    assert len({it[b"why"] for it in told.values()}) == 4
    fresh = told["m:fresh"]
    assert [fresh[name] for name in (b"tier", b"namespace", b"version", b"load_ms", b"tags")] == [b"l1", b"pages", 9, 7, 2]
    assert 58000 < fresh[b"ttl_ms"] <= 60000 and 0 <= fresh[b"written_ms_ago"] < 2000
    assert told["m:stale"][b"ttl_ms"] == told["m:spare"][b"ttl_ms"] == 0
    assert 10000 < told["m:stale"][b"written_ms_ago"] < 13000


OTHER_WORDS = [
    ("APPEND", "m:k", "x"), ("INCR", "m:k"), ("GETRANGE", "m:k", "0", "1"), ("SETRANGE", "m:k", "0", "x"), ("HSET", "m:k", "f", "v"),
    ("HGET", "m:k", "f"), ("LPUSH", "m:k", "x"), ("SADD", "m:k", "x"), ("ZADD", "m:k", "1", "x"), ("XADD", "m:k", "*", "f", "v"),
    ("PFADD", "m:k", "x"), ("SETBIT", "m:k", "1", "1"), ("BITOP", "AND", "plain", "m:k"), ("RENAME", "m:k", "plain"),
    ("RENAME", "plain", "m:k"), ("COPY", "plain", "m:k"), ("MOVE", "m:k", "3"), ("DUMP", "m:k"), ("RESTORE", "m:k", "0", "x"),
    ("OBJECT", "ENCODING", "m:k"), ("MEMORY", "USAGE", "m:k"), ("WATCH", "m:k"), ("EVAL", "return 1", "1", "m:k"),
    ("EVAL", "return 1", "2", "plain", "o:k"), ("EVALSHA", "0" * 40, "1", "m:k"), ("FCALL", "f", "1", "m:k"), ("BLPOP", "plain", "m:k", "0"),
    ("SORT", "plain", "STORE", "m:k"), ("SINTERSTORE", "plain", "a", "m:k"), ("LCS", "m:k", "plain"), ("XREAD", "STREAMS", "m:k", "0"),
    ("SUBSTR", "m:k", "0", "1"), ("INCRBYFLOAT", "m:k", "1"),
]  # fmt: skip


def test_other_commands_do_not_touch_them(conn, server):
    put(server, "m:k", b"v")
    server.set("plain", "1")
    for words in OTHER_WORDS:
        key = next(word for word in words if word[:2] in ("m:", "o:"))
        said = "ERR key belongs to a managed namespace: key '%s' of namespace '%s'; it is a cached string: not for '%s', but for " \
               "GET, SET and their kin, and CACHE.*" % (key, "pages" if key == "m:k" else "other", words[0])
        assert conn.ask(*words) == said.encode(), words
    assert server.get("plain") == b"1" and server.dbsize() == 2
    for words in (("MGET", "m:k", "plain"), ("EXISTS", "plain", "m:k"), ("TOUCH", "plain", "plain", "o:k")):
        key, space = ("m:k", "pages") if "m:k" in words else ("o:k", "other")
        said = "ERR keys of managed and plain namespaces in one command: key '%s' of namespace '%s'; key 'plain' is of plain " \
               "'default': name them in two commands" % (key, space)
        assert conn.ask(*words) == said.encode(), words
    assert conn.ask("MGET", "m:k", "o:k")[0] == b"v"
    assert conn.ask("GET", "m:" + "x" * 65536) == (
        b"ERR a key of 64 KiB or more cannot be in a managed namespace: key 'm:" + b"x" * 62 + b"...' of namespace 'pages'; hash what makes it so long")
    assert conn.ask("EVAL", "return ARGV[1]", "0", "m:k") == b"m:k"
    assert conn.ask("MULTI") == b"OK"
    assert conn.ask("GET", "m:k") == (
        b"ERR key belongs to a managed namespace: key 'm:k' of namespace 'pages'; it cannot be in a transaction: send 'GET' without MULTI")
    assert conn.ask("GET", "plain") == b"QUEUED"
    assert conn.ask("EXEC").startswith(b"EXECABORT")


TOKEN = "n0123456789abc00"
FAULTS = [
    ("CACHE.FETCH m:k SOFTLY", "ERR syntax error: 'SOFTLY' at argument 2 of CACHE.FETCH, expected SOFT ms, HARD ms, MAXSTALE ms, "
                               "FRESH, ANY, ATLEAST seq or NOLOAD"),
    ("CACHE.FETCH m:k ANY SOFT", "ERR syntax error: nothing behind 'SOFT' of CACHE.FETCH, expected milliseconds"),
    ("CACHE.FETCH m:k HARD 1s", "ERR HARD must be milliseconds from 0 to 86400000: '1s' at argument 3"),
    ("CACHE.FETCH m:k ATLEAST -1", "ERR seq is not an integer or out of range: '-1' at argument 3"),
    ("CACHE.SET m:k v EX 10", "ERR syntax error: 'EX' at argument 3 of CACHE.SET, expected PX ms, SWR ms, SIE ms or TAGS n tag ..."),
    ("CACHE.SET m:k v PX 10 PX 20", "ERR syntax error: CACHE.SET takes 'PX' once, and at argument 5 it stands once more"),
    ("CACHE.SET m:k v TAGS", "ERR syntax error: nothing behind 'TAGS' of CACHE.SET, expected the number of tags, and the tags"),
    ("CACHE.SET m:k v TAGS 2 red", "ERR syntax error: nothing behind 'red' of CACHE.SET, expected as many tags as TAGS says"),
    ("CACHE.SET m:k v TAGS red", "ERR TAGS must be a number from 1 to 64, and so many tags: 'red' at argument 4"),
    ("CACHE.SET m:k v TAGS 1 " + 251 * "x", "ERR a tag has 1 to 250 bytes, the one at argument 5 has 251"),
    ("CACHE.FILL m:k token v", "ERR a token is the 16 letters and digits that CACHE.FETCH answers with LOAD, its fifth element: "
                               "'token' at argument 2"),
    ("CACHE.FAIL m:k " + TOKEN.upper(), "ERR a token is the 16 letters and digits that CACHE.FETCH answers with LOAD, its fifth element: "
                                        f"'{TOKEN.upper()}' at argument 2"),
    (f"CACHE.FILL m:k {TOKEN} v", "LOST the key was written or invalidated since its load began, or the load took too long: "
                                  "key 'm:k' of namespace 'pages'; nothing was stored, and CACHE.FETCH says what stands now"),
    (f"CACHE.FAIL m:k {TOKEN}", "LOST the key was written or invalidated since its load began, or the load took too long: "
                                "key 'm:k' of namespace 'pages'; nothing was stored, and CACHE.FETCH says what stands now"),
    (f"CACHE.FAIL m:k {TOKEN} NEGATIVE 5", "ERR syntax error: 'NEGATIVE' at argument 3 of CACHE.FAIL, expected NEG ms, or nothing"),
    (f"CACHE.FAIL m:k {TOKEN} NEG", "ERR syntax error: nothing behind 'NEG' of CACHE.FAIL, expected milliseconds"),
    (f"CACHE.FAIL m:k {TOKEN} NEG 60001", "ERR NEG must be milliseconds from 1 to 60000: '60001' at argument 4"),
    (f"CACHE.FILL plain {TOKEN} v", "ERR key belongs to no managed namespace: key 'plain' of namespace 'default'; no load is given "
                                    "to clients there: use SET"),
    ("CACHE.TAGS plain", "ERR key does not belong to a managed namespace: key 'plain' of namespace 'default'; values there have no tags"),
    ("CACHE.SET plain v TAGS 1 red", "ERR SWR, SIE and TAGS are of managed keys, and namespace 'default' is plain"),
    ("CACHE.INVALIDATE KEY m:k plain", "ERR keys of managed and plain namespaces in one command: key 'm:k' of namespace 'pages'; "
                                       "key 'plain' is of plain 'default': name them in two commands"),
    ("CACHE.INVALIDATE KEY m:k o:k NS pages", "ERR a key is not in namespace 'pages': 'o:k' is of 'other'"),
    ("CACHE.INVALIDATE KEY m:k SYNC soon", "ERR timeout is not an integer or out of range: 'soon' at argument 4"),
    ("CACHE.INVALIDATE TAG a b SYNC", "ERR CACHE.INVALIDATE takes 'SYNC' for an option behind the last name; milliseconds are missing "
                                      "behind it"),
    ("CACHE.INVALIDATE TAG a NS", "ERR CACHE.INVALIDATE takes 'NS' for an option behind the last name; the name of a namespace is "
                                  "missing behind it"),
    ("CACHE.INVALIDATE THING m:k", "ERR CACHE.INVALIDATE takes KEY, TAG, PREFIX, PATTERN or ALL, not 'THING'"),
]  # fmt: skip


def test_errors_say_what_is_at_fault_and_where(conn):
    for words, said in FAULTS:
        got = conn.ask(*words.split())
        assert isinstance(got, wire.Error) and bytes(got) == said.encode(), (words, bytes(got).decode())
    assert conn.ask("CACHE.FETCH", "m:k", "\r\n\xff").startswith(b"ERR syntax error: '????' at argument 2"), "and breaks no line"


def test_what_is_dead_is_listed_until_its_time_is_over(conn, server):
    """docs/differences.txt"""
    put(server, "m:none", b"", fresh_ms=60000, kind=NEGATIVE)
    put(server, "m:spare", b"v", fresh_ms=1000, swr_ms=1000, sie_ms=60000, px=50000)
    put(server, "o:dead", b"v", fresh_ms=60000)
    assert conn.ask("CACHE.INVALIDATE", "PREFIX", "o:d")
    keys = ["m:none", "m:spare", "o:dead"]
    assert conn.ask("EXISTS", *keys) == 0
    assert sorted(conn.ask("KEYS", "*")) == [key.encode() for key in keys] and conn.ask("DBSIZE") == 3
    assert conn.ask("RANDOMKEY").decode() in keys and len(conn.ask("SCAN", "0", "COUNT", "100")[1]) == 3


def test_answers_keep_their_order_beside_plain_ones(conn, server):
    put(server, "m:k", b"managed")
    server.mset({"plain": "1", "also": "2"})
    asked = [("GET", "plain"), ("GET", "m:k"), ("SET", "plain", "3"), ("GET", "m:k"), ("MGET", "m:k", "m:k"), ("GET", "plain"), ("PING",), ("EXISTS", "m:k")]
    assert conn.pipeline(asked) == [b"1", b"managed", b"OK", b"managed", [b"managed"] * 2, b"3", b"PONG", 1]


def test_calls_of_a_connection_take_effect_in_their_order(conn, server):
    """Whatever link each goes by: a script at Redis notes what it finds when it comes."""
    note = "redis.call('RPUSH', 'noted', #redis.call('KEYS', 'm:*') .. ':' .. #redis.call('KEYS', 'p:*')) return 1"
    asked, wanted, keys = [], [], {"m": 0, "p": 0}
    for turn in range(40):
        kind = "mmp"[turn % 3]
        keys[kind] += 1
        asked.append(("SET", f"{kind}:{turn}", str(turn)))
        if turn % 4 == 3:
            asked += [("EVAL", note, "0"), ("GET", f"{kind}:{turn}")]
            wanted.append(b"%d:%d" % (keys["m"], keys["p"]))
    asked += [("DEL", "m:0", "m:1"), ("EXISTS", "m:0", "m:1"), ("MULTI",), ("SET", "p:end", "1"), ("EXEC",), ("GET", "m:0")]
    answers = conn.pipeline(asked)
    assert server.lrange("noted", 0, -1) == wanted
    assert [answer for words, answer in zip(asked, answers) if words[0] == "GET"][:-1] == [b"%d" % turn for turn in range(3, 40, 4)]
    assert answers[-6:-4] == [2, 0] and answers[-2] == [b"OK"]


@pytest.mark.parametrize("options", [[], ["NOLOOP"], ["BCAST", "NOLOOP"]], ids=" ".join)
def test_clients_that_keep_managed_values_are_told_of_changes(managed, server, options):
    key = "m:kept:" + "".join(options)
    put(server, key, b"one", fresh_ms=60000)
    with managed.wire(proto=3) as conn:
        assert conn.ask("CLIENT", "TRACKING", "ON", *options) == b"OK"
        assert conn.ask("GET", key) == b"one"
        for turn in range(3):
            put(server, key, b"turn %d" % turn, version=2 + turn)
            value = None
            while value != b"turn %d" % turn:
                # Of a broadcast he may hear twice, from Redis and from the node, and once more of the turn before: who read
                # what is old is told again.
                assert value is None or "BCAST" in options, value
                assert conn.read() == [b"invalidate", [key.encode()]]
                conn.send(wire.encode(("GET", key)))
                while isinstance(value := conn.read(), wire.Push):
                    pass


@pytest.mark.parametrize("order", [["PREFIX", "o:kept:"], ["ALL", "NS", "other"], ["PATTERN", "o:kept:*"]], ids=" ".join)
def test_clients_that_keep_managed_values_are_told_of_the_keys_that_a_ban_of_a_prefix_binds(managed, order):
    with managed.wire(proto=3) as conn, managed.wire() as other:
        for key in ("o:kept:one", "o:kept:two", "m:kept:one", "kept:plain"):
            assert other.ask("SET", key, "old") == b"OK"
        other.ask("CACHE.LASTSEQ")  # what the writes are announced with is over
        assert conn.ask("CLIENT", "TRACKING", "ON") == b"OK"
        for key in ("o:kept:one", "m:kept:one", "kept:plain"):
            assert conn.ask("GET", key) == b"old"
        assert other.ask("CACHE.INVALIDATE", *order, "SYNC", "5000")[0] > 0
        told = []
        conn.send(wire.encode(("PING",)))
        while (heard := conn.read()) != "PONG" and heard != b"PONG":
            told.append(heard)
        assert told == [[b"invalidate", [b"o:kept:one"]]]
        assert conn.ask("EXISTS", "o:kept:one") == 0 and conn.ask("GET", "m:kept:one") == b"old"


def test_clients_that_keep_managed_values_drop_them_all_when_bans_of_prefixes_come_too_often(managed):
    """400 keys and 512 prefixes are 204,800 looks of the loop that hears beats; no more than 262,144 in a second."""
    keys, order = [f"o:many:{i}" for i in range(400)], ["PREFIX", *(f"o:nothing:{i}" for i in range(512)), "NS", "other"]
    with managed.wire(proto=3) as conn, managed.wire() as other:
        other.pipeline([("SET", key, "old") for key in keys])
        other.ask("CACHE.LASTSEQ")
        assert conn.ask("CLIENT", "TRACKING", "ON") == b"OK"
        assert set(conn.pipeline([("GET", key) for key in keys])) == {b"old"}
        assert all(isinstance(reply, list) for reply in other.pipeline([("CACHE.INVALIDATE", *order)] * 3))
        while conn.read() != [b"invalidate", None]:
            pass  # what the writes before it are announced with


@pytest.mark.parametrize("order", [["TAG", "kept", "NS", "other"], ["PATTERN", "o:k?pt:*"]], ids=" ".join)
def test_clients_that_keep_managed_values_drop_them_all_when_a_ban_may_bind_one(managed, order):
    with managed.wire(proto=3) as conn, managed.wire() as other:
        other.ask("CACHE.SET", "o:kept:one", "old", "TAGS", "1", "kept")
        assert conn.ask("CLIENT", "TRACKING", "ON") == b"OK"
        assert conn.ask("GET", "o:kept:one") == b"old"
        assert other.ask("CACHE.INVALIDATE", *order, "SYNC", "5000")[0] > 0
        while conn.read() != [b"invalidate", None]:
            pass  # what the write before it is announced with
        conn.send(wire.encode(("EXISTS", "o:kept:one")))
        while isinstance(heard := conn.read(), wire.Push):
            pass
        assert heard == 0


def reload(node, text):
    log = pathlib.Path(node.process.log_path)
    seen = log.stat().st_size
    node.config.write_text(text)
    node.process.signal(signal.SIGHUP)
    until(lambda: b"event=reloaded" in log.read_bytes()[seen:], 10, "the settings were read again")


def test_rules_change_without_a_pause(stage, redis_server):
    node = configured(stage, CONFIG, l2=redis_server)
    put(redis_server.client(), "m:rules", b"value")
    with node.wire() as conn:
        until(lambda: conn.ask("GET", "m:rules") == b"value" and explain(conn, "m:rules")[b"tier"] == b"l1", 10, "it is kept")

        def told():
            maps = [dict(zip(each[::2], each[1::2])) for each in conn.ask("CACHE.NAMESPACES")]
            return {it[b"name"]: it for it in maps}[b"pages"]

        fields = [b"format", b"ttl_ms", b"max_ttl_ms", b"swr_ms", b"sie_ms", b"write"]
        assert [told()[name] for name in fields] == [b"managed", 0, 0, 0, 0, b"through"]
        reload(node, CONFIG.replace("[namespace other]", "ttl = 30m\nmax-ttl = 1h\nswr = 30s\nsie = 2h\nwrite = around\n[namespace other]"))
        assert [told()[name] for name in fields] == [b"managed", 1800000, 3600000, 30000, 7200000, b"around"]
        assert explain(conn, "m:rules")[b"tier"] == b"l1"
        server = redis_server.client()
        assert conn.ask("SET", "m:mode", "v") == b"OK" and server.exists("m:mode") == 0
        reload(node, CONFIG)
        assert conn.ask("SET", "m:mode", "v") == b"OK" and server.exists("m:mode") == 1
        assert all(name in b" ".join(conn.ask("CACHE", "HELP")).split() for name in told())


def test_a_change_of_the_format_shows_nobody_the_other_shape(stage, redis_server):
    node = configured(stage, CONFIG, l2=redis_server)
    client, server = node.client(), redis_server.client()
    server.flushdb()
    raw = seal(b"value", version=3)
    server.set("m:k", raw)
    until(lambda: client.get("m:k") == b"value", 10, "the flush is over")
    for _ in range(3):
        reload(node, CONFIG.replace("managed", "plain"))
        assert client.get("m:k") == client.get("m:k") == raw
        reload(node, CONFIG)
        assert client.get("m:k") == client.get("m:k") == b"value"
    ended, seen = time.monotonic() + 0.5, set()
    with node.wire() as reader:
        turn = 0
        while time.monotonic() < ended or (len(seen) < 2 and turn < 100):
            turn += 1
            node.config.write_text(CONFIG if turn % 2 else CONFIG.replace("managed", "plain"))
            node.process.signal(signal.SIGHUP)
            for _ in range(40):
                server.set("m:k", raw)  # so that reads are under way
                seen |= set(reader.pipeline([("GET", "m:k")] * 8))
    assert seen <= {raw, b"value"} and len(seen) == 2


RULES = "hard-timeout = 50ms\nnegative-ttl = 20ms\nttl = 300ms\nswr = 1s\nsie = 2s\neager = 50%\nxfetch = 2\n"
TURNS = [CONFIG + RULES, CONFIG.replace("managed", "plain"), CONFIG.replace("m:", "m:1") + RULES, "", CONFIG + RULES + "[namespace two]\nprefix = m:2\nformat = managed\n"]
SAID = (b"BUSY ", b"LOST ", b"STALE ", b"ERR CACHE.INVALIDATE TAG ", b"ERR SWR, SIE and TAGS ", b"ERR key belongs to no managed",
        b"ERR key does not belong to a managed", b"ERR keys of managed and plain")


def chatter(conn, rng, ended, heard):
    """Whatever is said of managed keys, on keys that are so now and then."""
    def command():
        key = f"m:{rng.randrange(30)}"
        return rng.choice([
            ("GET", key), ("MGET", key, "m:2", "m:3"), ("SET", key, "x" * rng.choice([3, 900])), ("SET", key, "y", "PX", "200"), ("SET", key, "z", "NX"),
            ("DEL", key), ("GETEX", key, "PX", "100"), ("EXPIRE", key, "1"), ("TTL", key), ("CACHE.FETCH", key), ("CACHE.FETCH", key, "HARD", "30"),
            ("CACHE.FILL", key, "n0123456789abc00", "v"), ("CACHE.FAIL", key, "n0123456789abc00"), ("CACHE.SET", key, "v", "PX", "300", "TAGS", "1", "t"),
            ("CACHE.INVALIDATE", "TAG", "t"), ("CACHE.INVALIDATE", "KEY", key), ("CACHE.EXPLAIN", key), ("CACHE.TAGS", key)])  # fmt: skip

    while not ended.is_set():
        heard += [answer for answer in conn.pipeline([command() for _ in range(rng.choice([1, 4, 16]))]) if isinstance(answer, wire.Error)]


def has(node, text):
    """It has the namespaces of the text. (Its log may leave out what comes beside so many invalidations.)"""
    wanted = {f"ns_{name}": f"prefix={prefix},format={form}," for name, prefix, form in re.findall(r"\[namespace (\w+)\]\nprefix = (\S+)\nformat = (\w+)", text)}
    shown = {name: value for name, value in node.info("namespaces").items() if name != "ns_default"}
    return set(wanted) == set(shown) and all(shown[name].startswith(begin) for name, begin in wanted.items())


def test_namespaces_become_managed_and_plain_under_load(stage, redis_server):
    node = configured(stage, TURNS[0], "--threads", "3", l2=redis_server)
    ended, heard = threading.Event(), []
    conns = [node.wire(proto=2 + i % 2) for i in range(4)]
    threads = [threading.Thread(target=chatter, args=(conn, random.Random(i), ended, heard)) for i, conn in enumerate(conns)]
    for thread in threads:
        thread.start()
    for turn in range(20):
        node.config.write_text(TURNS[turn % len(TURNS)])
        node.process.signal(signal.SIGHUP)
        until(lambda: has(node, TURNS[turn % len(TURNS)]), 10, "the settings were read again")
    ended.set()
    for thread in threads:
        thread.join()
    assert not {answer for answer in heard if not answer.startswith(SAID)}
    assert node.client().ping() and all(conn.ask("PING") == b"PONG" for conn in conns)
