# SPDX-License-Identifier: BSD-3-Clause
"""Invalidation by tag, prefix and pattern: two nodes, one Redis. Values are put into Redis by the test itself, with the
version and the tags that it says (envelopes.py), so each is bound by what came after that version."""

import collections
import random
import struct

import pytest

import wire
from envelopes import seal, xxh64
from harness import ROOT, until
from test_managed import configured, reload

pytestmark = pytest.mark.own

CONFIG = """
[namespace pages]
prefix = m:
format = managed
max-ttl = 1h
[namespace other]
prefix = o:
format = managed
max-ttl = 1h
"""
TAGS = "terrace:tags"
PLAIN = "plain"


@pytest.fixture(scope="module")
def nodes(module_stage, redis_server):
    return [configured(module_stage, CONFIG, l2=redis_server) for _ in range(2)]


@pytest.fixture(scope="module")
def control(redis_server):
    """The nodes' own keys."""
    return redis_server.client(db=15)


@pytest.fixture
def store(redis_server):
    client = redis_server.client()
    client.flushdb()
    return client


@pytest.fixture
def pair(nodes, store):
    del store
    for node in nodes:
        until(lambda node=node: node.info()["bans_known"] == "yes", 5, "the table of bans was read")
    with nodes[0].wire() as a, nodes[1].wire() as b:
        yield a, b


def seq_of(conn):
    return conn.ask("CACHE.LASTSEQ")


def heard(*conns):
    """What was written in Redis is heard by the nodes of these: nothing of it comes later and ends what they hold."""
    for conn in conns:
        seq_of(conn)


def put(store, conn, key, tags=(), version=None, **more):
    """Written now: everything that was invalidated before is in it."""
    store.set(key, seal(b"value", version=version or seq_of(conn), tags=list(tags), **more))


def sure(reply):
    return None if isinstance(reply, wire.Error) and reply.startswith(b"STALE") else reply


def fetch(conn, key):
    """Without becoming the one who loads it. On a machine that is busy no beat may come home in time."""
    reply = until(lambda: sure(conn.ask("CACHE.FETCH", key, "NOLOAD")), 5, "the node knows what was invalidated")
    state, value = reply[:2]
    assert (value == b"value") == (state in (b"HIT", b"STALE")), (state, value)
    return state


def reads(conns, key):
    """Twice each: from L2, and from L1."""
    return [fetch(conn, key) == b"HIT" for conn in conns for _ in range(2)]


def invalidate(conn, *words):
    reply = conn.ask("CACHE.INVALIDATE", *words)
    assert isinstance(reply, list) and len(reply) == 2, reply
    return reply


def live(conns, keys):
    """Which of them are served; both nodes say the same."""
    served = [{key for key in keys if all(reads([conn], key))} for conn in conns]
    assert all(each == served[0] for each in served), served
    return served[0]


def test_a_tag_ends_what_has_it_on_all_nodes(pair, store):
    a, b = pair
    put(store, a, "m:red", ["red"])
    put(store, a, "o:red", ["blue", "red"])
    put(store, a, "m:blue", ["blue"])
    seq_of(a), seq_of(b)
    assert live(pair, ["m:red", "o:red", "m:blue"]) == {"m:red", "o:red", "m:blue"}
    seq, count = invalidate(a, "TAG", "red", "SYNC", "2000")
    assert seq > 0 and count == 2, "both were in the L1 of this node"
    assert live(pair, ["m:red", "o:red", "m:blue"]) == {"m:blue"}
    put(store, b, "m:red", ["red"])
    heard(a, b)
    assert all(reads(pair, "m:red")), "what is written afterwards is not bound"


@pytest.mark.parametrize("words, left", [
    (("red", "blue"), {"m:", "m:green"}),
    (("red", "blue", "ANY"), {"m:", "m:green"}),
    (("red", "blue", "ALL"), {"m:", "m:green", "m:red", "m:blue", "m:green,red"}),
    (("blue", "red", "blue", "ALL"), {"m:", "m:green", "m:red", "m:blue", "m:green,red"}),
    (("red", "ALL"), {"m:", "m:green", "m:blue"}),
    (("red", "NS", "pages"), {"m:", "m:green", "m:blue", "o:red"}),
    (("red", "blue", "ALL", "NS", "other"), {"m:", "m:green", "m:red", "m:blue", "m:green,red", "m:blue,red"}),
    (("nobody has it",), {"m:", "m:green", "m:red", "m:blue", "m:green,red", "m:blue,red"}),
], ids=lambda words: " ".join(words) if isinstance(words, tuple) else "")
def test_any_and_all_of_several_tags(pair, store, words, left):
    a, _ = pair
    keys = ["m:", "m:green", "m:red", "m:blue", "m:green,red", "m:blue,red", "o:red"]
    for key in keys:
        put(store, a, key, key[2:].split(",") if key[2:] else [])
    invalidate(a, "TAG", *words, "SYNC", "2000")
    spared = {"o:red"} if "red" not in words or "ALL" in words and len(words) > 2 else set()
    assert live(pair, keys) == left | spared


@pytest.mark.parametrize("words, left", [
    (("PREFIX", "m:a"), {"m:b:1", "m:b:a"}),
    (("PREFIX", "m:a:", "m:b:a"), {"m:a", "m:b:1"}),
    (("PREFIX", "m:"), set()),
    (("PREFIX", "m:a:1:and more"), {"m:a", "m:a:1", "m:a:2", "m:b:1", "m:b:a"}),
    (("PATTERN", "m:a:*"), {"m:a", "m:b:1", "m:b:a"}),
    (("PATTERN", "*:1"), {"m:a", "m:a:2", "m:b:a"}),
    (("PATTERN", "m:[ab]:?", "nothing*"), {"m:a"}),
    (("ALL",), set()),
], ids=lambda words: " ".join(words) if isinstance(words, tuple) else "")
def test_prefixes_and_patterns(pair, store, words, left):
    a, _ = pair
    keys = ["m:a", "m:a:1", "m:a:2", "m:b:1", "m:b:a", "o:a:1"]
    for key in keys:
        put(store, a, key)
    invalidate(a, *words, "NS", "pages", "SYNC", "2000")
    assert live(pair, keys) == left | {"o:a:1"}


def test_soft_makes_stale_and_leaves_the_value(pair, store):
    a, b = pair
    for key in ("m:soft", "m:kept"):
        version = seq_of(a)
        store.set(key, seal(b"value", version=version, tags=[key], fresh_ms=60000, swr_ms=60000), px=120000)
    invalidate(a, "TAG", "m:soft", "SOFT", "SYNC", "2000")
    for conn in pair:
        assert [fetch(conn, "m:soft"), fetch(conn, "m:kept")] == [b"STALE", b"HIT"]
        assert conn.ask("TTL", "m:soft") == 0, "its fresh life is over"
        assert conn.ask("TTL", "m:kept") in (59, 60)
    invalidate(b, "TAG", "m:soft", "SYNC", "2000")
    assert live(pair, ["m:soft", "m:kept"]) == {"m:kept"}, "a hard one comes on top"


def test_dryrun_counts_and_changes_nothing(pair, store, control):
    a, _ = pair
    for i in range(20):
        put(store, a, f"m:dry:{i}", ["even" if i % 2 == 0 else "odd"])
    seq_of(a)  # what Redis announced of these writes is done
    for i in range(20):
        assert fetch(a, f"m:dry:{i}") == b"HIT"
    before = control.hgetall(TAGS)
    assert invalidate(a, "TAG", "even", "DRYRUN") == [0, 10]
    assert invalidate(a, "PREFIX", "m:dry:1", "DRYRUN", "NS", "pages") == [0, 11]
    assert invalidate(a, "PATTERN", "*5", "DRYRUN", "NS", "pages") == [0, 2]
    assert invalidate(a, "PATTERN", "*5", "DRYRUN", "NS", "other") == [0, 0]
    assert control.hgetall(TAGS) == before
    assert len(live(pair, [f"m:dry:{i}" for i in range(20)])) == 20


def test_what_is_only_in_l2_is_bound_and_so_is_what_comes_late(pair, store):
    a, b = pair
    version = seq_of(a)
    put(store, a, "m:only", ["l2"])
    invalidate(a, "TAG", "l2", "SYNC", "2000")
    assert live(pair, ["m:only"]) == set(), "no node ever held it"
    put(store, a, "m:late", ["l2"], version=version)
    assert live(pair, ["m:late"]) == set(), "what was loaded before comes dead"
    store.set("m:foreign", b"value")
    assert live(pair, ["m:foreign"]) == set(), "nobody knows what tags it has"
    store.set("o:foreign", b"value")
    invalidate(b, "ALL", "NS", "pages", "SYNC", "2000")


def test_the_memory_of_what_is_dead_is_freed(pair, store, nodes):
    a, _ = pair
    swept = int(nodes[0].info()["bans_swept"])
    for i in range(100):
        put(store, a, f"m:freed:{i}", version=1 << 33 if i > 0 else None)
    seq_of(a)  # what Redis announced of these writes is done
    for i in range(100):
        assert fetch(a, f"m:freed:{i}") == b"HIT"
    invalidate(a, "PREFIX", "m:freed:0", "NS", "pages")
    until(lambda: int(nodes[0].info()["bans_swept"]) == swept + 1, 5, "nobody asked for it")


@pytest.mark.parametrize("words", [("TAG", "wide", "NS", "pages"), ("PREFIX", "m:wide:", "NS", "pages"), ("PREFIX", "m:wide:"),
                                   ("ALL", "NS", "pages")], ids=" ".join)
def test_what_an_order_asks_of_redis_does_not_hang_on_how_much_it_binds(pair, store, redis_server, words):
    """Neither when it is issued nor on the nodes that hear of it: nobody looks for what it binds."""
    a, _ = pair
    keys = [f"m:wide:{i}" for i in range(2000)]
    version = seq_of(a)
    store.mset({key: seal(b"value", version=version, tags=["wide"]) for key in keys})
    seq_of(a)

    def is_a_row_and_a_frame():
        redis_server.client().config_resetstat()
        invalidate(a, *words, "SYNC", "2000")
        stats = redis_server.client().info("commandstats").items()
        asked = collections.Counter({name.removeprefix("cmdstat_"): it["calls"] for name, it in stats})
        return asked["xadd"] == 1 and asked["hset"] - asked["eval"] <= 1 and not asked.keys() & {
            "scan", "keys", "hscan", "mget", "pttl", "exists", "set", "setrange", "del", "unlink", "pexpire"}
    until(is_a_row_and_a_frame, 10, "one frame, one row, and beats; what else nodes ask comes each few seconds, and not each time")
    assert live(pair, keys[::400]) == set()


def test_a_node_that_starts_later_knows(pair, store, module_stage, redis_server):
    a, _ = pair
    version = seq_of(a)
    for first in range(0, 1500, 500):  # three pages, one order each
        invalidate(a, "TAG", *(f"page:{i}" for i in range(first, first + 500)))
    late = configured(module_stage, CONFIG, l2=redis_server)
    until(lambda: late.info()["bans_known"] == "yes", 5)
    assert int(late.info()["bans_live"]) >= 1500
    with late.wire() as conn:
        for i in (0, 749, 1499):
            put(store, a, "m:k", [f"page:{i}"], version=version)
            assert live([conn, a], ["m:k"]) == set()
        put(store, a, "m:k", ["page:1500"], version=version)
        heard(conn, a)
        assert live([conn, a], ["m:k"]) == {"m:k"}
    late.end()


def test_tags_of_a_value_are_told(pair, store):
    a, _ = pair
    put(store, a, "m:tagged", ["red", "g\r\nreen"])
    put(store, a, "m:none")
    store.set("m:foreign tags", b"value")
    a.ask("SET", "p:plain", "v")
    assert a.ask("CACHE.TAGS", "m:tagged") == [b"red", b"g\r\nreen"]
    for key in ("m:none", "m:foreign tags", "m:nothing"):
        assert a.ask("CACHE.TAGS", key) == []
    assert a.ask("CACHE.TAGS", "p:plain").startswith(b"ERR key does not belong to a managed namespace: key 'p:plain' of")


def test_what_says_nothing_is_refused(pair):
    a, _ = pair
    for words, error in (
            (("TAG", "red", ""), b"ERR a tag has 1 to 250 bytes, not 0: ''"),
            (("TAG", "x" * 251), b"ERR a tag has 1 to 250 bytes, not 251: '" + b"x" * 64 + b"...'"),
            (("PREFIX", "", "NS", "pages"), b"ERR a prefix has 1 to 1024 bytes, not 0: ''"),
            (("PATTERN", "x" * 1025, "NS", "pages"), b"ERR a pattern has 1 to 1024 bytes, not 1025: '" + b"x" * 64 + b"...'"),
            (("TAG", *(f"t{i}" for i in range(65)), "ALL"), b"ERR a value has at most 64 tags"),
            (("PREFIX", *("x" * 1024 for _ in range(63)), "NS", "pages"),
             b"ERR too much to invalidate with one command: at most 65536 bytes")):
        reply = a.ask("CACHE.INVALIDATE", *words)
        assert isinstance(reply, wire.Error) and reply == error, (words[0], reply)


def test_nothing_is_served_before_a_node_has_read_the_table(stage):
    """Redis is asked for the table, and cannot answer: the node must not guess."""
    server = stage.redis()
    server.client().set("m:k", seal(b"value", version=1 << 33))
    server.client(db=15).rpush(TAGS, "a list, as long as the node may not look")
    server.client().execute_command("ACL", "SETUSER", "narrow", "on", "nopass", "~*", "&*", "+@all", "-hscan")
    node = configured(stage, CONFIG, l2=f"redis://narrow:any@127.0.0.1:{server.port}")
    with node.wire() as conn:
        reply = conn.ask("STRLEN", "m:k")
        assert isinstance(reply, wire.Error) and reply.startswith(b"STALE"), reply
        assert node.info()["bans_known"] == "no"
        server.client().execute_command("ACL", "SETUSER", "narrow", "+hscan")
        until(lambda: conn.ask("STRLEN", "m:k") == 5, 5, "it was read")


# --- when Redis loses something ---

@pytest.fixture
def alone(stage):
    """A Redis and a node of its own."""
    server = stage.redis()
    return server, [configured(stage, CONFIG, l2=server) for _ in range(2)]


def known(nodes):
    for node in nodes:
        until(lambda node=node: node.info()["bans_known"] == "yes" and node.coherence_state() == "SYNCED", 5, "bans are known")


def test_after_flushall_by_a_stranger_what_the_nodes_know_is_known_again(alone, stage):
    server, nodes = alone
    client, control = server.client(), server.client(db=15)
    with nodes[0].wire() as a, nodes[1].wire() as b:
        version = seq_of(a)
        for i in range(30):
            invalidate(a, "TAG", f"t{i}", "SYNC", "2000")
        client.flushall()
        invalidate(b, "TAG", "after")  # in the epoch that begins with it
        until(lambda: control.hlen(TAGS) == 32, 5, "30, that one, and that there is a table")
        known(nodes)
        put(client, a, "m:k", ["t7"], version=version)  # as a Redis might that is rolled back
        assert live([a, b], ["m:k"]) == set()
        late = configured(stage, CONFIG, l2=server)
        known([late])
        with late.wire() as c:
            put(client, c, "m:k", ["t8"])
            heard(a, b, c)
            assert live([a, b, c], ["m:k"]) == {"m:k"}


def test_a_table_that_is_gone_is_never_nothing_was_invalidated(alone, stage):
    server, nodes = alone
    client, control = server.client(), server.client(db=15)
    with nodes[0].wire() as a, nodes[1].wire() as b:
        put(client, a, "m:k", ["red"])
        invalidate(a, "TAG", "red", "SYNC", "2000")
        put(client, a, "m:other")
        control.delete(TAGS)
        late = configured(stage, CONFIG, l2=server)
        known([late])
        with late.wire() as c:
            assert live([c], ["m:k", "m:other"]) == set()
            seq_of(b), seq_of(a)
            assert live([a, b], ["m:k", "m:other"]) == set(), "they all say the same"
            put(client, a, "m:other")
            heard(a, b, c)
            assert live([a, b, c], ["m:other"]) == {"m:other"}
        control.set(TAGS, "a stranger's")
        invalidate(b, "TAG", "blue", "SYNC", "2000")
        assert control.type(TAGS) == b"hash" and live([a, b], ["m:other"]) == set()


def known_since(control, seconds):
    """What was invalidated was so longer ago."""
    for name, row in control.hgetall(TAGS).items():
        hard, soft, at = struct.unpack("<QQQ", row)
        control.hset(TAGS, name, struct.pack("<QQQ", hard, soft, at - seconds))


def test_nothing_is_left_when_no_value_can_be_left(alone, stage):
    """Values of these settings live for two hours at most, from the end of their load on, whose lease can be held for 33
    seconds; then ten more pass."""
    server, nodes = alone
    control = server.client(db=15)
    with nodes[0].wire() as conn:
        for i in range(50):
            invalidate(conn, "TAG", f"t{i}")
            invalidate(conn, "PATTERN", f"m:*{i}", "NS", "pages")
    known_since(control, 7230)
    for passed, left in ((0, 100), (300, 0)):
        known_since(control, passed)
        late = configured(stage, CONFIG, l2=server)
        known([late])
        until(lambda late=late, left=left: int(late.info()["bans_live"]) == left and control.hlen(TAGS) == left + 1, 5,
              "the node and Redis forgot them")
        beats(late)
        assert control.hlen(TAGS) == left + 1


def test_where_values_live_for_ever_one_row_takes_the_place_of_the_oldest(stage):
    """Bans are kept for thirty days then, and one day more; what is older than that, and than one of them, is loaded anew."""
    server = stage.redis()
    control, client = server.client(db=15), server.client()
    config = "[namespace pages]\nprefix = m:\nformat = managed\n"
    node = configured(stage, config, l2=server)
    with node.wire() as conn:
        put(client, conn, "m:old")
        last = invalidate(conn, "TAG", "old")[0]
        invalidate(conn, "PATTERN", "m:*old*?", "SOFT")
        put(client, conn, "m:between")
        known_since(control, 31 * 24 * 3600 + 1)
        invalidate(conn, "TAG", "new")
        late = configured(stage, config, l2=server)
        known([late])
        until(lambda: control.hkeys(TAGS) and set(control.hkeys(TAGS)) == {b"L\0", b"P\0", b"T\0new"}, 5, "one row stands for the old ones")
        until(lambda: node.info()["bans_live"] == late.info()["bans_live"] == "2", 5, "on all nodes")
        assert struct.unpack("<QQQ", control.hget(TAGS, b"P\0"))[0] > last
        with late.wire() as other:
            assert live([conn, other], ["m:old", "m:between"]) == {"m:between"}


def beats(node):
    """Some pass: the node has looked at all that it knows."""
    seq = int(node.info()["coherence_seq"])
    until(lambda: int(node.info()["coherence_seq"]) > seq + 2, 5, "some beats later")


def brief(max_ttl):
    return f"[namespace pages]\nprefix = m:\nformat = managed\nmax-ttl = {max_ttl}\n"


def test_settings_that_are_lowered_do_not_end_bans_of_values_that_were_written_by_the_former(stage):
    server = stage.redis()
    control = server.client(db=15)
    for max_ttl, life in (("1h", 7_233_000), ("100ms", 7_233_000), ("2h", 14_433_000)):
        node = configured(stage, brief(max_ttl), l2=server)
        until(lambda node=node: node.info()["bans_known"] == "yes", 5, "the table of bans was read")
        assert int(control.hget("terrace:meta", "life")) == life
        if max_ttl != "2h":
            node.end()
    reload(node, brief("3h"))
    until(lambda: int(control.hget("terrace:meta", "life")) == 21_633_000, 5, "longer ones are told at once")
    control.hset("terrace:meta", "life", "nan")
    reload(node, brief("4h"))
    until(lambda: control.hget("terrace:meta", "life") == b"28833000", 5, "what is no number counts for nothing")


def issued_long_ago(server, name, seconds):
    """A ban that some node tells of, as when an epoch begins."""
    control = server.client(db=15)
    seq = int(control.get("terrace:seq"))
    body = struct.pack("<HBBIQQ", len(name), 0, 0, seconds, seq, 0) + name
    head = struct.pack("<cBcBHHQ24xIIQQ", b"T", 1, b"G", 0, 64, 0, 0, 1, 0, 7, 7)
    frame = head + body + struct.pack("<Q", xxh64(head + body))
    script = (ROOT / "tiers" / "scripts" / "ban.lua").read_text()
    assert control.eval(script, 0, 15, "KNOW", 100, frame, frame) > seq


def test_what_lives_longer_on_another_node_stays_invalidated_on_all(stage):
    server = stage.redis()
    control = server.client(db=15)
    small = configured(stage, brief("1s"), l2=server)
    known([small])
    large = configured(stage, brief("1h"), l2=server)
    known([large])
    with small.wire() as a, large.wire() as b:
        version = seq_of(a) - 1
        put(server.client(), a, "m:k", ["red"], version=version)
        issued_long_ago(server, b"T\0red", 100)  # so long that no value of the small one's settings can be left
        until(lambda: small.info()["bans_live"] == "1", 5, "it has heard of it")
        beats(small)
        assert control.hexists(TAGS, b"T\0red") and small.info()["bans_live"] == "1"
        assert live([a, b], ["m:k"]) == set()
        token = a.ask("CACHE.FETCH", "m:nothing")[4]
        assert a.ask("CACHE.FAIL", "m:nothing", token, "NEG", "60000") == b"OK"
        assert server.client().pttl("m:nothing") <= 1000, "that there is nothing is known no longer than anything else"
        issued_long_ago(server, b"T\0blue", 10_000)
        until(lambda: set(control.hkeys(TAGS)) == {b"L\0", b"T\0red"}, 5, "no value can be left of that")
        until(lambda: [node.info()["bans_live"] for node in (small, large)] == ["1", "1"], 5)


def test_rows_that_are_none_of_ours_keep_no_node_from_serving(alone, stage):
    """Clients may write into terrace:tags. Nobody knows what stood there: all of before is invalid, and it goes on."""
    server, nodes = alone
    client, control = server.client(), server.client(db=15)
    row = struct.pack("<QQQ", 5, 0, 0)
    bad = {name: row for name in (
        b"rubbish", b"", b"T", b"T\0", b"T\1", b"T\0" + b"t" * 251, b"T\x41" + b"n" * 65 + b"t", b"P\0" + b"p" * 1025,
        b"G\0" + b"g" * 1025, b"C\0", b"C\0\1a", b"C\0\1b\1a", b"C\0\1a\1a", b"C\0\1a\2b", b"C\0\1a\0",
        b"C\0\1a\xfb" + b"b" * 251, b"C\0" + b"".join(bytes([1, i]) for i in range(65)), b"L\0x", b"L\1x", b"x" * 70000)}
    bad |= {b"T\0short": row[1:], b"T\0large": struct.pack("<QQQ", 1 << 53, 0, 0), b"T\0soft": struct.pack("<QQQ", 0, (1 << 64) - 1, 0)}
    good = {name: row for name in (
        b"P\0" + b"p" * 1024, b"T\0" + b"t" * 250, b"C\0\1a\2aa\1b", b"C\0" + b"".join(bytes([1, i]) for i in range(64)),
        b"T\x40" + b"n" * 64 + b"t")} | {b"T\0future": struct.pack("<QQQ", 5, 0, 1 << 63)}
    ahead = int(control.get("terrace:seq")) + 1_000_000  # of what is still to be written
    bad |= {b"T\0ahead": struct.pack("<QQQ", ahead, 0, 0), b"P\0m:": struct.pack("<QQQ", 0, ahead, 0)}
    with nodes[0].wire() as a:
        put(client, a, "m:k")
        known(nodes)
        for name, value in (bad | good).items():
            control.hset(TAGS, name, value)
        late = configured(stage, CONFIG, l2=server)
        known([late])
        with late.wire() as c:
            seq_of(a)
            assert live([c, a], ["m:k"]) == set()
            assert control.hgetall(TAGS).keys() - good.keys() == {b"L\0"}
            put(client, c, "m:k")
            heard(a, c)
            assert live([c, a], ["m:k"]) == {"m:k"}
            control.hset(TAGS, b"T\0red", b"damaged")
            seq, _ = invalidate(a, "TAG", "red", "SOFT", "SYNC", "2000")
            hard, soft, _ = struct.unpack("<QQQ", control.hget(TAGS, b"T\0red"))
            assert hard == 0 and 0 < soft <= seq
            assert live([c, a], ["m:k"]) == set(), "there may have been more than this"
            assert int(control.hget("terrace:meta", "banned")) == soft


def test_the_rights_that_a_node_asks_for_suffice(stage):
    rules = next(line for line in (ROOT / "docs" / "operations.md").read_text().splitlines() if "ACL SETUSER terrace on" in line)
    server = stage.redis()
    server.client().execute_command(*rules.split())
    node = configured(stage, CONFIG, l2=f"redis://terrace:password@127.0.0.1:{server.port}")
    with node.wire() as conn:
        until(lambda: node.info()["bans_known"] == "yes", 5, "the table of bans was read")
        version = seq_of(conn)
        invalidate(conn, "TAG", "red", "SYNC", "2000")
        put(server.client(), conn, "m:k", ["red"], version=version)
        assert live([conn], ["m:k"]) == set()


def test_more_patterns_than_are_compared_with_each_value_are_refused(stage):
    server = stage.redis()
    node = configured(stage, CONFIG, l2=server)
    with node.wire() as conn:
        for i in range(32):
            invalidate(conn, "PATTERN", *(f"m:*{i}:{j}" for j in range(32)), "NS", "pages", "SYNC", "2000")
        for words in (("PATTERN", "m:*one more", "NS", "pages"), ("TAG", "a", "b", "ALL")):
            reply = conn.ask("CACHE.INVALIDATE", *words)
            assert reply.startswith(b"ERR 1024 patterns and conjunctions of tags are live already"), reply
        invalidate(conn, "TAG", "a", "b")
        invalidate(conn, "ALL", "NS", "pages")
        until(lambda: node.info()["bans_live"] == "3", 5, "a ban of everything stands for all older ones")
        invalidate(conn, "PATTERN", "m:*one more", "NS", "pages")


# --- the algebra ---

def fits(words, key, tags):
    """The model: does an order bind a value?"""
    kind, args = words[0], [word for word in words[1:] if word not in ("ANY", "ALL")]
    if kind == "TAG":
        return all(tag in tags for tag in args) if "ALL" in words else any(tag in tags for tag in args)
    if kind == "PREFIX":
        return any(key.startswith(arg) for arg in args)
    return any(key.endswith(arg[1:]) for arg in args)


def test_random_orders_bind_what_a_model_says(pair, store):
    rand = random.Random(20261122)
    colours = ["red", "green", "blue", "grey"]
    invalidate(pair[0], "ALL", "NS", "pages", "SYNC", "2000")
    model = {}
    for turn in range(60):
        conn = rand.choice(pair)
        for _ in range(6):
            key = f"m:{rand.choice('ab')}{rand.choice('ab')}:{rand.randrange(6)}"
            tags = rand.sample(colours, rand.randrange(4))
            put(store, conn, key, tags)
            model[key] = tags
        words = rand.choice([
            ("TAG", *rand.sample(colours, rand.randrange(1, 4)), rand.choice(["ANY", "ALL"])),
            ("PREFIX", f"m:{rand.choice('ab')}{rand.choice(['', 'a', 'b:', 'b:1'])}"),
            ("PATTERN", f"*{rand.choice(['a', 'b'])}:{rand.randrange(6)}")])
        invalidate(conn, *words, "NS", "pages", "SYNC", "2000")
        model = {key: tags for key, tags in model.items() if not fits(words, key, tags)}
        if turn % 4 == 3:
            keys = [f"m:{x}{y}:{i}" for x in "ab" for y in "ab" for i in range(6)]
            assert live(pair, keys) == set(model), (turn, words)


def test_what_is_from_before_a_namespace_was_managed_is_ended_by_any_tag(stage):
    """The steps of docs/semantics.md, "From plain to managed"."""
    server = stage.redis()
    plain = CONFIG.replace("format = managed\nmax-ttl = 1h\n", "")
    node = configured(stage, plain, l2=server)
    node.wait_synced()
    with node.wire() as conn:
        for key in ("m:1", "m:2", "m:3", "o:1", "o:2"):
            assert conn.ask("SET", key, "value") == b"OK"
        reload(node, CONFIG)
        known([node])
        assert live([conn], ["m:1", "m:2", "m:3", "o:1", "o:2"]) == {"m:1", "m:2", "m:3", "o:1", "o:2"}, "shown as they are"
        assert conn.ask("CACHE.SET", "m:1", "value", "TAGS", "1", "red") > 0
        invalidate(conn, "TAG", "blue", "NS", "other", "SYNC", "5000")
        assert live([conn], ["m:1", "m:2", "m:3", "o:1", "o:2"]) == {"m:1", "m:2", "m:3"}, "nobody knows what tags they have"
        invalidate(conn, "TAG", "green", "SOFT", "SYNC", "5000")
        assert [fetch(conn, key) for key in ("m:1", "m:2", "o:1")] == [b"HIT", b"STALE", b"MISS"], "served while they are loaded anew"
        assert conn.ask("CACHE.SET", "m:2", "value", "TAGS", "1", "red") > 0
        invalidate(conn, "TAG", "blue", "SYNC", "5000")
        assert live([conn], ["m:1", "m:2", "m:3"]) == {"m:1", "m:2"}, "of any namespace: all that has no envelope"
        server.client().set("m:3", b"value")
        assert fetch(conn, "m:3") == b"MISS", "and what a program writes past the nodes afterwards, as long as that is remembered"
