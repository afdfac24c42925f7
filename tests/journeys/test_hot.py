# SPDX-License-Identifier: BSD-3-Clause
"""CACHE.HOT: which keys are asked for most, as an operator asks for it, and the lists that nodes leave in L2 for each other."""

import os

import pytest
import redis

import warm
from harness import documented_rules, until
from test_whatif import flat
from wire import Double, Map

pytestmark = pytest.mark.own

FIELDS = ["key", "db", "ns", "count", "error", "per_s", "error_per_s", "heat", "frequency"]


def hot(conn, *count):
    """The reply as RESP2 has it, a dict for each row; null is None."""
    rows = [flat(row) for row in conn.ask("CACHE.HOT", *count)]
    return [row | {"frequency": row["frequency"] if isinstance(row["frequency"], int) else None} for row in rows]


def until_hot(conn, counted, *count):
    """The list in which all of these reads are counted: the workers are asked once a second."""
    def rows():
        found = hot(conn, *count)
        return found if counted({row["key"]: row for row in found}) else None
    return until(rows, 10, "the list has it")


def read(conn, reads):
    for name, times in reads.items():
        for at in range(0, times, 200):
            conn.pipeline([("GET", name)] * min(200, times - at))


def least(**reads):
    """So many reads are counted, though they fade while the test runs (a tenth in nine seconds)."""
    return lambda rows: all(name.encode() in rows and rows[name.encode()]["count"] >= times * 0.6 for name, times in reads.items())


def test_what_is_read_most_is_shown_hottest_first(stage):
    node = stage.node("--threads", "2", l2=stage.redis())
    client = node.client()
    conn = node.wire()
    assert hot(conn) == [], "nothing was read"
    client.mset({"a": 1, "b": 2, "c": 3})
    node.catch_up()  # a key that MGET must wait for counts once in it, however often named
    read(conn, {"a": 10, "b": 20})
    with node.wire() as other:  # of another worker: sums are of all
        read(other, {"a": 45, "c": 12})
    conn.ask("MGET", *["b"] * 10, "nobody has it")
    enough = least(a=55, b=30, c=12)
    rows = until_hot(conn, lambda rows: b"nobody has it" in rows and enough(rows))  # the last read of all is in it
    assert [row["key"] for row in rows] == [b"a", b"b", b"c", b"nobody has it"]
    assert [list(row) for row in rows] == [FIELDS] * 4
    for row, reads in zip(rows, (55, 30, 12, 1)):
        assert row["count"] <= reads and row["error"] == 0 and row["db"] == 0 and row["ns"] == b"default"
        assert float(row["per_s"]) > 0 and row["frequency"] is None
    assert [row["heat"] for row in rows] == sorted((row["heat"] for row in rows), reverse=True)
    assert [row["key"] for row in hot(conn, 2)] == [b"a", b"b"]
    info = node.info()
    assert info["hot_keys"] == "4" and info["hot_one_counted_of"] == "1" and 0.5 < float(info["hot_share_of_first"]) < 0.6
    assert "terrace_hot_keys 4" in node.admin("/metrics")[1]


def test_resp3_has_maps_and_doubles_and_keys_are_bytes(stage):
    node = stage.node()
    binary = bytes(range(256))
    with node.wire() as conn:
        conn.pipeline([("GET", binary)] * 30 + [("GET", "")] * 10)
        until_hot(conn, lambda rows: binary in rows and b"" in rows)
    told = node.wire(3).ask("CACHE.HOT")
    assert all(isinstance(row, Map) for row in told)
    first = dict(map(tuple, told[0]))
    assert first[b"key"] == binary and isinstance(first[b"per_s"], Double)
    assert "\\x00\\x01" in node.cli("--no-raw", "CACHE.HOT"), "what a terminal cannot show is escaped"


def test_every_way_to_read_counts_and_no_way_to_look(stage):
    """With an L2 and alone."""
    for l2 in (None, stage.redis()):
        node = stage.node(l2=l2)
        client = node.client()
        client.mset({f"k:{name}": "value" for name in ("get", "strlen", "range", "mget", "fetch", "native", "ttl", "exists")})
        client.hset("k:hash", mapping={"a": "1"})
        node.catch_up()  # a key that MGET must wait for counts once in it, however often named
        for _ in range(8):  # all together less than a tenth of a second may have before it is sampled
            client.get("k:get")
            client.strlen("k:strlen")
            client.getrange("k:range", 0, 1)
            client.mget("k:mget", "k:mget")
            client.hget("k:hash", "a")
            client.execute_command("CACHE.FETCH", "k:fetch")
            client.ttl("k:ttl")
            client.exists("k:exists")
            client.set("k:written", "x")
        with node.native() as native:
            for _ in range(8):
                native.get(b"k:native")
        conn = node.wire()
        wanted = {"k:get": 8, "k:strlen": 8, "k:range": 8, "k:mget": 16, "k:hash": 8, "k:fetch": 8, "k:native": 8}
        rows = until_hot(conn, least(**wanted))
        assert {row["key"].decode() for row in rows} == set(wanted)
        assert all(row["count"] <= wanted[row["key"].decode()] for row in rows)


def test_object_freq_agrees_with_it(stage):
    """Both are counts of reads; that of Redis is thrown by dice, fades by the minute and is kept only under lfu. `heat` is what the
    dice say on average: both are in the same order, and on the same level."""
    node = stage.node("--policy", "lfu", "--memory", "32mb")
    client = node.client()
    reads = {"seldom": 12, "often": 700, "always": 12000}
    client.mset({name: "value" for name in reads})
    conn = node.wire()
    read(conn, reads)
    rows = until_hot(conn, least(**reads))
    assert [row["key"] for row in rows] == [b"always", b"often", b"seldom"]
    shown = [row["frequency"] for row in rows]
    assert shown == [client.object("freq", row["key"]) for row in rows]
    assert shown == sorted(shown, reverse=True) and len(set(shown)) == 3
    for row in rows:
        assert row["heat"] * 0.6 - 2 < row["frequency"] < row["heat"] * 1.5 + 2, row
    client.config_set("policy", "lru")
    with pytest.raises(redis.ResponseError, match="LFU maxmemory policy is not selected"):
        client.object("freq", "always")
    assert all(row["frequency"] is None for row in hot(conn)), "what reads were counted is known under every policy"


def test_what_is_asked_wrongly_is_said(stage):
    node = stage.node("--hot-keys", "0")
    client = node.client()
    for words, error in ((("x",), "a number from 1 to 65536"), (("0",), "a number from 1 to 65536"), (("1", "2"), "wrong number"),
                         ((), "started with hot-keys 0")):
        with pytest.raises(redis.ResponseError, match=error):
            client.execute_command("CACHE.HOT", *words)
    client.execute_command("ACL", "SETUSER", "reader", "on", "nopass", "~*", "+@all", "-@dangerous")
    with pytest.raises(redis.ResponseError, match="no permissions to run the .cache.hot. command"):
        node.client(username="reader", password="x").execute_command("CACHE.HOT")


def lists(redis_server):
    return redis_server.client(db=15).hgetall("terrace:hot")


def test_a_node_that_counts_no_reads_warms_by_the_lists_of_others(stage):
    redis_server = stage.redis()
    redis_server.client().mset({"a": 1, "b": 2})
    first = stage.node(l2=redis_server)
    with first.wire() as conn:
        read(conn, {"a": 30, "b": 20})
    until(lambda: len(lists(redis_server)) == 1, 20, "its list is there")
    blind = stage.node("--hot-keys", "0", "--warm-deadline", "300s", l2=redis_server)
    until(lambda: blind.info()["join_state"] == "warm", 20, "it comes, and is warm")
    warm.joined(redis_server, 2)
    done = warm.run(blind, {"hot": 10}, target="self", mode="force")
    assert done["state"] == "done" and done["loaded"] == 2


def test_each_node_leaves_its_list_in_l2(stage):
    redis_server = stage.redis()
    nodes = [stage.node(l2=redis_server) for _ in range(2)]
    for node in nodes:
        with node.wire() as conn:
            read(conn, {"a": 30, f"own:{node.name}": 10})
    until(lambda: len(lists(redis_server)) == 2, 20, "both are there")
    own = redis_server.client(db=15)
    assert own.zcard("terrace:hot:at") == 2 and own.pttl("terrace:hot") > 3_000_000
    ids = {row[b"id"] for row in (dict(map(tuple, row)) for row in nodes[0].wire(3).ask("CACHE.NODES"))}
    assert set(lists(redis_server)) == ids
    before = lists(redis_server)

    # What a node leaves is as it was when it went.
    with nodes[0].wire() as conn:
        read(conn, {"at last": 50})
        until_hot(conn, least(**{"at last": 50}))
    nodes[0].end()
    after = lists(redis_server)
    assert sum(after[name] != before[name] for name in before) >= 1 and len(after) == 2
    assert any(b"at last" in text for text in after.values()), "short lists are not packed, so it can be seen"


def test_a_node_with_no_more_than_the_documented_rights_leaves_its_list(stage):
    redis_server = stage.redis()
    redis_server.client().execute_command("ACL", "SETUSER", "terrace", "reset", "on", ">secret", *documented_rules())
    node = stage.node(l2=f"redis://terrace:secret@127.0.0.1:{redis_server.port}")
    with node.wire() as conn:
        read(conn, {"a": 30})
    until(lambda: lists(redis_server), 20, "it is there")
    assert redis_server.client(db=15).zcard("terrace:hot:at") == 1


def test_what_strangers_wrote_in_its_place_and_what_is_old_is_removed(stage):
    redis_server = stage.redis()
    ids = [f"{i:016x}" for i in range(100)]
    for db, is_dated in ((14, True), (15, False)):
        own = redis_server.client(db=db)
        own.hset("terrace:hot", mapping={name: os.urandom(50) for name in ids})
        if is_dated:
            own.zadd("terrace:hot:at", {name: at for at, name in enumerate(ids)})
        node = stage.node("--coherence-db", str(db), l2=redis_server)
        with node.wire() as conn:
            read(conn, {"a": 5})
        until(lambda: own.hlen("terrace:hot") == 1 and own.zcard("terrace:hot:at") == 1, 20, "one list is there")
        assert not set(ids) & {name.decode() for name in own.hkeys("terrace:hot")}


def test_keys_of_another_type_in_its_place_are_removed(stage):
    redis_server = stage.redis()
    with redis_server.client(db=15) as own:
        own.set("terrace:hot", "mine")
        own.rpush("terrace:hot:at", "mine")
        node = stage.node(l2=redis_server)
        with node.wire() as conn:
            read(conn, {"a": 5})
        until(lambda: own.type("terrace:hot") == b"hash" and own.zcard("terrace:hot:at") == 1, 20, "its list is there")
