# SPDX-License-Identifier: BSD-3-Clause
"""Hashes: kept by a node alone, and read from L1 with an L2."""

import threading

import pytest


@pytest.fixture(scope="module")
def oracle(module_stage):
    """A redis-server whose replies are right; never the L2 of a node here."""
    return module_stage.redis()


def same(node, oracle, commands, proto=2):
    """Every reply is the oracle's, byte for byte."""
    with node.wire(proto) as ours, oracle.wire(proto) as theirs:
        for words in commands:
            assert ours.ask_raw(*words) == theirs.ask_raw(*words), words


def emptied(*servers):
    for server in servers:
        server.client().delete("h", "s", "other", "large")


@pytest.mark.parametrize("proto", [2, 3])
def test_replies_of_all_commands_on_all_kinds_of_keys(node, oracle, proto):
    emptied(node, oracle)
    reads = [["HGET", "{}", "f"], ["HMGET", "{}", "f", "none", "f"], ["HGETALL", "{}"], ["HEXISTS", "{}", "f"],
             ["HLEN", "{}"], ["HSTRLEN", "{}", "f"], ["HKEYS", "{}"], ["HVALS", "{}"], ["HSCAN", "{}", "0"],
             ["HRANDFIELD", "{}", "-1"], ["HRANDFIELD", "{}", "9", "WITHVALUES"], ["HSCAN", "{}", "x"],
             ["HSCAN", "{}", "0", "NOSUCH"], ["HRANDFIELD", "{}", "1", "NOSUCH"], ["HRANDFIELD", "{}", "x"],
             ["HRANDFIELD", "{}", "-9223372036854775808"], ["HRANDFIELD", "{}", "9223372036854775807", "WITHVALUES"],
             ["OBJECT", "ENCODING", "{}"], ["OBJECT", "REFCOUNT", "{}"], ["TYPE", "{}"]]
    writes = [["HSET", "{}", "g", "1"], ["HSETNX", "{}", "f", "2"], ["HINCRBY", "{}", "g", "5"], ["HDEL", "{}", "g"],
              ["HINCRBYFLOAT", "{}", "x", "1.5"], ["HDEL", "{}", "x", "x"], ["HMSET", "{}", "f", "v", "f", "w"],
              ["HINCRBY", "{}", "f", "1"], ["HINCRBYFLOAT", "{}", "f", "1"], ["HINCRBY", "{}", "f", "x"],
              ["HINCRBYFLOAT", "{}", "n", "inf"], ["HINCRBYFLOAT", "{}", "n", "x"], ["HSET", "{}", "f"],
              ["HSET", "{}", "f", "v", "g"]]
    strings = [["GET", "{}"], ["STRLEN", "{}"], ["GETRANGE", "{}", "0", "1"], ["MGET", "{}", "s"], ["APPEND", "{}", "x"],
               ["INCR", "{}"], ["INCRBYFLOAT", "{}", "1"], ["SETRANGE", "{}", "0", ""], ["GETEX", "{}"],
               ["GETEX", "{}", "PERSIST"], ["GETDEL", "{}"], ["GETSET", "{}", "v"], ["SET", "{}", "v", "GET"],
               ["SETNX", "{}", "v"], ["EXISTS", "{}"], ["TTL", "{}"], ["PERSIST", "{}"]]
    setup = [["HSET", "h", "f", "a value"], ["SET", "s", "text"]]
    for _ in range(2):  # the second time from L1
        commands = [[word.format(key) for word in words] for words in reads for key in ("h", "s", "none")]
        same(node, oracle, setup + commands, proto)
    for key in "h", "s":
        same(node, oracle, setup + [[word.format(key) for word in words] for words in writes + reads + strings], proto)


def test_keys_that_hold_hashes_are_keys_as_others(node, oracle):
    emptied(node, oracle)
    fill = ["HSET", "h", "f", "v", "g", "w"]
    same(node, oracle, [
        fill, ["RENAME", "h", "other"], ["HGETALL", "other"], ["EXISTS", "h"], ["COPY", "other", "h"], ["HGETALL", "h"],
        ["EXPIRE", "h", "1000"], ["TTL", "h"], ["HSET", "h", "f", "again"], ["TTL", "h"], ["HDEL", "h", "f"], ["TTL", "h"],
        ["SET", "h", "a string now"], ["GET", "h"], ["TTL", "h"], ["DEL", "h"], fill, ["HDEL", "h", "f", "g"], ["EXISTS", "h"],
        fill, ["SCAN", "0", "MATCH", "h", "COUNT", "1000", "TYPE", "hash"], ["SCAN", "0", "MATCH", "h", "COUNT", "1000", "TYPE", "string"],
        ["MSET", "h", "1", "s", "2"], ["MGET", "h", "s"], ["DEL", "h"], fill, ["EXPIRE", "h", "-1"], ["EXISTS", "h"], ["HLEN", "h"],
        fill, ["RENAMENX", "other", "h"], ["MOVE", "h", "3"], ["HLEN", "h"], ["SELECT", "3"], ["HGETALL", "h"], ["DEL", "h"],
        ["SELECT", "0"], ["SETEX", "h", "100", "v"], ["DEL", "h"], fill, ["PEXPIREAT", "h", "1"], ["HGETALL", "h"]])


@pytest.mark.own
def test_encodings_are_those_that_redis_would_choose(node_alone, oracle):
    emptied(node_alone, oracle)
    ask = ["OBJECT", "ENCODING", "h"]
    for commands in (
            [["HSET", "h", "f", "x" * 64], ask, ["HSET", "h", "f", "x" * 65], ask, ["HSET", "h", "f", "x"], ask],
            [["HSET", "h", "y" * 65, "v"], ask, ["COPY", "h", "other"], ["OBJECT", "ENCODING", "other"]],
            [["HSETNX", "h", "f", "x" * 65], ask], [["HINCRBY", "h", "z" * 65, "1"], ask],
            [["HSET", "h", *[word for i in range(512) for word in (f"f{i}", "v")]], ask, ["HSETNX", "h", "more", "v"], ask,
             ["HDEL", "h", "more"], ask]):
        same(node_alone, oracle, [["DEL", "h", "other"], *commands])


def test_a_large_hash_is_what_it_would_be_in_redis(node, oracle):
    """Over the limit of a listpack the order is nobody's."""
    emptied(node, oracle)
    pairs = [word for i in range(5000) for word in (f"field:{i}", "v" * (i % 50))]
    removed = [f"field:{i}" for i in range(0, 5000, 3)]
    same(node, oracle, [["HSET", "large", *pairs], ["HLEN", "large"], ["HDEL", "large", *removed], ["HLEN", "large"],
                        ["HSET", "large", "field:1", "longer than before", "field:0", "back"], ["HINCRBY", "large", "n", "7"],
                        ["HMGET", "large", "field:0", "field:1", "field:3", "field:4999", "n"], ["HSTRLEN", "large", "field:49"]])
    ours, theirs = node.client(), oracle.client()
    for _ in range(3):
        assert ours.hgetall("large") == theirs.hgetall("large")
    assert sorted(ours.hkeys("large")) == sorted(theirs.hkeys("large"))
    assert sorted(ours.hvals("large")) == sorted(theirs.hvals("large"))
    found = list(ours.hscan_iter("large", count=100))
    assert dict(found) == theirs.hgetall("large")
    assert dict(ours.hscan_iter("large", match="field:49*")) == dict(theirs.hscan_iter("large", match="field:49*"))
    some = ours.hrandfield("large", 100)
    assert len(some) == len(set(some)) == 100 and set(some) <= set(theirs.hkeys("large"))
    assert len(ours.hrandfield("large", -7000)) == 7000


@pytest.mark.own
def test_a_walk_goes_on_while_the_hash_grows(node_alone):
    client = node_alone.client()
    client.delete("large")
    client.hset("large", mapping={f"old:{i}": i for i in range(1000)})
    cursor, seen, steps = 0, set(), 0
    while True:
        cursor, found = client.hscan("large", cursor, count=10)
        seen |= {name for name in found if name.startswith(b"old:")}
        steps += 1
        if steps < 60:
            client.hset("large", mapping={f"new:{steps}:{i}": i for i in range(50)})
        if cursor == 0:
            break
    assert len(seen) == 1000 and steps > 60


def test_counters_of_many_clients_lose_nothing(node):
    """Writers of one hash on several workers: each change is made from what stands."""
    node.client().delete("h")

    def count():
        with node.wire() as conn:
            for _ in range(20):
                conn.pipeline([["HINCRBY", "h", "n", "1"], ["HINCRBYFLOAT", "h", "x", "0.5"]] * 10)
    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert node.client().hgetall("h") == {b"n": b"800", b"x": b"400"}


@pytest.mark.own
def test_what_is_too_large_for_memory_is_refused(stage):
    node = stage.node("--memory", "8mb", "--policy", "noeviction")
    with node.wire() as conn:
        assert conn.ask("HSET", "h", "f", "v") == 1
        assert conn.ask("HSET", "h", "g", "x" * 20_000_000).startswith(b"OOM")
        assert conn.ask("HGETALL", "h") == [b"f", b"v"]
        assert conn.ask("HRANDFIELD", "h", "-100000000").startswith(b"ERR value is out of range")
