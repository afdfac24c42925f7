# SPDX-License-Identifier: BSD-3-Clause
"""Hashes: kept by a node alone, and read from L1 with an L2."""

import threading
import time

import pytest

from harness import BOUND_S, REHEARSAL, SLACK_S, until
from wire import NULL_BULK


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


@pytest.mark.own
def test_what_is_set_of_listpacks_decides_about_encodings(node_alone, oracle):
    words = [["CONFIG", "SET", "hash-max-listpack-entries", "3", "hash-max-ziplist-value", "8"], ["HSET", "e:1", "f", "12345678"],
             ["OBJECT", "ENCODING", "e:1"], ["HINCRBYFLOAT", "e:1", "f", "0.5"], ["OBJECT", "ENCODING", "e:1"],
             ["HSET", "e:2", "1", "1", "2", "2", "3", "3"], ["OBJECT", "ENCODING", "e:2"], ["DEBUG", "DIGEST-VALUE", "e:1", "e:2", "e:none"],
             ["HSET", "e:2", "4", "4"], ["OBJECT", "ENCODING", "e:2"], ["SET", "e:3", "v"], ["PEXPIREAT", "e:3", "9999999999999"],
             ["DEBUG", "DIGEST-VALUE", "e:3", "e:2"],
             ["CONFIG", "SET", "hash-max-listpack-entries", "512", "hash-max-listpack-value", "64"]]
    with node_alone.wire() as ours, oracle.wire() as theirs:
        assert ours.pipeline(words) == theirs.pipeline(words)


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


# --- with an L2: reads of hot hashes from L1 ---

SOON_S = BOUND_S + SLACK_S


@pytest.fixture
def one_worker(module_stage):
    """(node, redis): one worker, so that the counts of reads that are passed on are exact, and a Redis of its own, which is told
    nothing of hot keys: that is a script, whose commands count as well. Each test has keys of its own, since a node
    remembers what was read of a key."""
    if REHEARSAL:
        pytest.skip("rehearsal: redis-server has no L1")
    if not hasattr(module_stage, "one_worker"):
        server = module_stage.redis()
        module_stage.one_worker = module_stage.node("--threads", "1", "--warm-rate", "0", "--hot-keys", "0", l2=server), server
    node, server = module_stage.one_worker
    server.client().config_resetstat()
    return node, server


def settle(conn):
    """Every write that was acknowledged has ended what it must: what is read now stays."""
    assert conn.ask("CACHE.LASTSEQ") > 0


def hits_of(node, conn, *words, expected=None):
    """The reply, and how many of the reads of it L1 answered."""
    before = int(node.info()["l1_hits"])
    reply = conn.ask(*words)
    if expected is not None:
        assert reply == expected
    return int(node.info()["l1_hits"]) - before


def make_hot(conn, key):
    settle(conn)
    for _ in range(3):
        conn.ask("HLEN", key)


def test_the_second_read_fetches_all_and_later_ones_are_hits(one_worker):
    node, server = one_worker
    server.client().hset("hot", mapping={"z": "1", "a": "2", "m": "3"})
    with node.wire() as conn, node.wire(3) as new:
        settle(conn)
        assert hits_of(node, conn, "HGET", "hot", "z", expected=b"1") == 0
        assert server.calls("hget") == 1 and server.calls("hscan") == 0
        assert hits_of(node, conn, "HGET", "hot", "a", expected=b"2") == 0
        assert server.calls("hget") == 1 and server.calls("hscan") == 1
        for words, expected in ((["HGET", "hot", "m"], b"3"), (["HGET", "hot", "none"], NULL_BULK), (["HLEN", "hot"], 3),
                                (["HMGET", "hot", "a", "none", "z"], [b"2", NULL_BULK, b"1"]), (["HEXISTS", "hot", "a"], 1),
                                (["HGETALL", "hot"], [b"z", b"1", b"a", b"2", b"m", b"3"]), (["HSTRLEN", "hot", "a"], 1),
                                (["HKEYS", "hot"], [b"z", b"a", b"m"]), (["HVALS", "hot"], [b"1", b"2", b"3"])):
            assert hits_of(node, conn, *words, expected=expected) == 1, words
        assert new.ask_raw("HGETALL", "hot") == b"%3\r\n$1\r\nz\r\n$1\r\n1\r\n$1\r\na\r\n$1\r\n2\r\n$1\r\nm\r\n$1\r\n3\r\n"
        assert conn.ask("TYPE", "hot") == b"hash" and conn.ask("EXISTS", "hot") == 1 and conn.ask("TTL", "hot") == -1
        assert server.calls("hget") == server.calls("hscan") == 1  # other reads of the hash beats do, too
        assert server.calls("type") == server.calls("ttl") == 0


def test_what_anybody_writes_is_seen_by_a_node_that_holds_it(one_worker, module_stage):
    node, server = one_worker
    other = module_stage.node(l2=server)
    client = server.client()
    client.hset("shared", mapping={"n": 0})
    with node.wire() as conn, other.wire() as writer:
        for n, write in enumerate((lambda n: client.hset("shared", "n", n), lambda n: writer.ask("HSET", "shared", "n", n),
                                   lambda n: writer.ask("HINCRBY", "shared", "n", 1), lambda n: conn.ask("HSET", "shared", "n", n),
                                   lambda n: client.eval("return redis.call('HSET', 'shared', 'n', ARGV[1])", 0, n)), 1):
            make_hot(conn, "shared")
            assert hits_of(node, conn, "HGET", "shared", "n") == 1
            write(n)
            until(lambda n=n: conn.ask("HGET", "shared", "n") == b"%d" % n, SOON_S, f"write {n} is seen")
        make_hot(conn, "shared")
        client.delete("shared")
        until(lambda: conn.ask("HGETALL", "shared") == [], SOON_S, "it is gone")
    other.end()


def test_expiry_ends_it_in_l1_too(one_worker):
    node, server = one_worker
    with node.wire() as conn:
        conn.ask("HSET", "short", "f", "v")
        conn.ask("PEXPIRE", "short", 1000)
        make_hot(conn, "short")
        assert 0 < conn.ask("PTTL", "short") <= 1000
        until(lambda: conn.ask("HGET", "short", "f") == NULL_BULK, 1 + SLACK_S, "it has expired")
        assert conn.ask("TYPE", "short") == b"none"
        conn.ask("HSET", "short", "f", "v")
        assert conn.ask("PTTL", "short") == -1


def test_the_wrong_type_is_told_from_l1_and_nothing_is_dropped(one_worker):
    node, server = one_worker
    wrong = b"WRONGTYPE Operation against a key holding the wrong kind of value"
    with node.wire() as conn:
        conn.ask("MSET", "string", "v")
        conn.ask("HSET", "hot2", "f", "v")
        until(lambda: hits_of(node, conn, "GET", "string", expected=b"v") == 1, 5, "the string is in L1")
        make_hot(conn, "hot2")
        server.client().config_resetstat()
        for _ in range(3):
            for words in (["GET", "hot2"], ["STRLEN", "hot2"], ["GETRANGE", "hot2", "0", "1"], ["CACHE.FETCH", "hot2"],
                          ["HGET", "string", "f"], ["HGETALL", "string"], ["HLEN", "string"]):
                assert hits_of(node, conn, *words, expected=wrong) == 1
        assert conn.ask("MGET", "hot2", "string") == [NULL_BULK, b"v"]
        assert hits_of(node, conn, "HGET", "hot2", "f", expected=b"v") == 1
        explained = conn.ask("CACHE.EXPLAIN", "hot2")
        assert explained[explained.index(b"type") + 1] == b"hash"
        explained = conn.ask("CACHE.EXPLAIN", "string")
        assert explained[explained.index(b"type") + 1] == b"string"
        assert server.calls("strlen") == server.calls("hget") == server.calls("hscan") == 0


@pytest.mark.parametrize("kind", ["fields", "bytes"])
def test_what_is_too_large_is_passed_on_and_not_asked_for_again(one_worker, kind):
    node, server = one_worker
    mapping = {f"f{i}": i for i in range(600)} if kind == "fields" else {"f0": 0, "large": "x" * 300_000}
    key = "large:" + kind
    server.client().hset(key, mapping=mapping)
    with node.wire() as conn:
        settle(conn)
        for _ in range(10):
            assert conn.ask("HGET", key, "f0") == b"0" and conn.ask("HLEN", key) == len(mapping)
        assert server.calls("hscan") == 1 and server.calls("hget") == 10 and server.calls("hlen") >= 10, "beats ask HLEN, too"
        assert int(node.admin("/metrics")[1].split("\nterrace_hashes_too_large_total ")[1].split()[0]) >= 1


def test_an_answer_that_is_too_large_tells_that_its_hash_is(one_worker):
    """It is never read whole."""
    node, server = one_worker
    server.client().hset("told", mapping={"f": "v", "large": "x" * 300_000})
    with node.wire() as conn:
        settle(conn)
        assert len(conn.ask("HGET", "told", "large")) == 300_000
        for _ in range(5):
            assert conn.ask("HGET", "told", "f") == b"v"
        assert server.calls("hscan") == 0 and server.calls("hget") == 6


def test_a_hash_as_large_as_may_be_is_kept_in_the_order_of_redis(one_worker):
    node, server = one_worker
    client = server.client()
    client.hset("largest", mapping={f"field:{i}": "v" * (65 + i % 3) for i in range(512)})
    assert client.object("encoding", "largest") == b"hashtable"
    with node.wire() as conn:
        make_hot(conn, "largest")
        in_order = [word for pair in client.hscan("largest", 0, count=100000)[1].items() for word in pair]
        assert hits_of(node, conn, "HGETALL", "largest", expected=in_order) == 1
        assert hits_of(node, conn, "HGET", "largest", "field:7", expected=b"v" * 66) == 1


def test_a_walk_over_many_hashes_costs_redis_no_more_than_without(one_worker):
    node, server = one_worker
    with node.wire() as conn:
        conn.pipeline([["HSET", f"h:{i}", "f", i] for i in range(300)])
        server.client().config_resetstat()
        assert conn.pipeline([["HGET", f"h:{i}", "f"] for i in range(300)]) == [b"%d" % i for i in range(300)]
        assert server.calls("hscan") == 0 and server.calls("hget") == 300


def test_a_hash_that_is_written_between_reads_is_soon_passed_on(one_worker):
    node, server = one_worker
    with node.wire() as conn:
        for i in range(100):
            conn.ask("HSET", "busy", "n", i)
            assert conn.ask("HGET", "busy", "n") == b"%d" % i
        assert server.calls("hscan") <= 8 and server.calls("hget") >= 90


def test_fields_of_one_hash_in_a_pipeline_wait_for_one_answer_only(one_worker):
    """None of them is held until the first is answered: what is passed on follows on the same link."""
    node, server = one_worker
    server.client().hset("many", mapping={f"f{i}": i for i in range(50)})
    with node.wire() as conn:
        settle(conn)
        requests = [["HGET", "many", f"f{i}"] for i in range(50)]
        assert conn.pipeline(requests) == [b"%d" % i for i in range(50)]
        assert server.calls("hget") == 50
        until(lambda: hits_of(node, conn, "HLEN", "many", expected=50) == 1, 5, "it is in L1")
        asked = server.calls("hget")
        assert conn.pipeline(requests) == [b"%d" % i for i in range(50)]
        assert server.calls("hget") == asked


def test_a_write_behind_a_read_in_a_pipeline_stays_behind_it(one_worker):
    """The read that fetches the whole hash, one that is passed on after all, and a write: each sees what it must."""
    node, server = one_worker
    server.client().hset("large2", mapping={f"f{i}": "old" for i in range(600)})
    server.client().hset("small2", mapping={"f1": "old"})
    with node.wire() as conn:
        for key in "small2", "large2":
            conn.ask("HLEN", key)
            replies = conn.pipeline([["HGET", key, "f1"], ["HSET", key, "f1", "new"], ["HGET", key, "f1"], ["DEL", key],
                                     ["HGET", key, "f1"]])
            assert replies == [b"old", 0, b"new", 1, NULL_BULK], key


def test_a_key_that_is_not_there_is_nothing(one_worker):
    node, server = one_worker
    with node.wire() as conn:
        for _ in range(5):
            assert conn.ask("HGET", "none", "f") == NULL_BULK and conn.ask("HGETALL", "none") == []
        conn.ask("HSET", "none", "f", "v")
        assert conn.ask("HGET", "none", "f") == b"v"


def test_without_the_right_to_hscan_all_is_passed_on(module_stage, redis_server, one_worker):
    client = redis_server.client()
    client.execute_command("ACL", "SETUSER", "noscan", "on", ">p", "~*", "&*", "+@all", "-hscan")
    node = module_stage.node("--threads", "1", l2=redis_server.url.replace("redis://", "redis://noscan:p@").replace("terrace:secret@", ""))
    client.hset("unscanned", "f", "v")
    with node.wire() as conn:
        for _ in range(6):
            assert conn.ask("HGET", "unscanned", "f") == b"v"
    node.end()


def test_none_are_kept_where_none_shall_be(one_worker):
    node, server = one_worker

    def is_kept(conn):
        """A hash of a new name; workers look at settings ten times a second."""
        key = f"kept:{time.monotonic_ns()}"
        conn.ask("HSET", key, "f", "v")
        make_hot(conn, key)
        return hits_of(node, conn, "HGET", key, "f", expected=b"v") == 1
    with node.wire() as conn:
        assert is_kept(conn)
        assert conn.ask("CONFIG", "SET", "l1-hash-fields", "0") == b"OK"
        until(lambda: not is_kept(conn), 5, "none is kept")
        assert conn.ask("CONFIG", "SET", "l1-hash-fields", "512") == b"OK"
        until(lambda: is_kept(conn), 5, "they are kept again")
