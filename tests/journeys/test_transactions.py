# SPDX-License-Identifier: BSD-3-Clause
"""MULTI, EXEC, DISCARD, WATCH, UNWATCH: as redis-server does, on a node alone and on one with an L2, byte for byte."""

import os
import re
import threading
import time

import pytest
import redis

import wire
from harness import log_lines, serves_hits, until
from proxy import FaultProxy

SLOWER = 4 if "JOURNEY_SANITIZED" in os.environ else 1  # a sanitizer sees a race in fewer rounds than chance does
USERS = ["B ACL SETUSER lim reset on >p +@connection +@transaction +@string +acl|whoami ~a*",
         "B ACL SETUSER free reset on >p +@all ~* &*"]
# Each a conversation: lines of "A" are one client's, of "B" another's. All begin without keys.
QUEUE = {
    "a block": ["A MULTI", "A SET k 1", "A INCR k", "A GET k", "A MGET k none", "A EXEC", "A GET k"],
    "nothing queued": ["A MULTI", "A EXEC"],
    "without MULTI": ["A EXEC", "A DISCARD", "A UNWATCH", "A EXEC x", "A DISCARD x", "A MULTI x", "A WATCH", "A UNWATCH x"],
    "nested": ["A MULTI", "A MULTI", "A SET k 1", "A EXEC", "A GET k"],
    "watch inside": ["A MULTI", "A WATCH k", "A SET k 1", "A EXEC"],
    "unwatch inside": ["A MULTI", "A UNWATCH", "A EXEC"],
    "unknown": ["A MULTI", "A NOSUCH a b", "A SET k 1", "A EXEC", "A GET k", "A EXEC"],
    "arity": ["A MULTI", "A SET k 1", "A GET", "A EXEC", "A GET k"],
    "subcommand": ["A MULTI", "A SET k 1", "A CLIENT NOSUCH", "A EXEC", "A GET k"],
    "no subcommand": ["A MULTI", "A CLIENT", "A EXEC"],
    "exec with an argument": ["A MULTI", "A SET k 1", "A EXEC x", "A EXEC", "A GET k"],
    "discard with an argument": ["A MULTI", "A SET k 1", "A DISCARD x", "A EXEC", "A GET k"],
    "multi with an argument": ["A MULTI", "A MULTI x", "A SET k 1", "A EXEC"],
    "watch without keys": ["A MULTI", "A WATCH", "A EXEC"],
    "not in a transaction": ["A MULTI", "A SHUTDOWN", "A EXEC", "A MULTI", "A SAVE", "A SET k 1", "A EXEC", "A GET k"],
    "an error inside": ["A MULTI", "A SET k x", "A INCR k", "A SET k y", "A EXEC", "A GET k"],
    "discard": ["A MULTI", "A SET k 1", "A DISCARD", "A GET k", "A EXEC"],
    "discard after an error": ["A MULTI", "A NOSUCH", "A DISCARD", "A MULTI", "A SET k 1", "A EXEC"],
    "reset": ["A MULTI", "A SET k 1", "A RESET", "A EXEC", "A GET k"],
    "quit": ["A MULTI", "A SET k 1", "A QUIT"],
    "select": ["A SET k zero", "A MULTI", "A SELECT 3", "A SET k three", "A GET k", "A EXEC", "B GET k", "A GET k",
               "A SELECT 0", "A GET k", "B SELECT 3", "B GET k"],
    "select alone": ["A MULTI", "A SELECT 2", "A EXEC", "A SET k two", "B GET k"],
    "select that fails": ["A MULTI", "A SELECT 99", "A SET k 1", "A SELECT x", "A EXEC", "A GET k", "B GET k"],
    "select and discard": ["A MULTI", "A SELECT 2", "A DISCARD", "A SET k 1", "B GET k"],
    "what the node serves": ["A MULTI", "A PING", "A SET k 1", "A CLIENT SETNAME me", "A CLIENT GETNAME", "A GET k",
                             "A ECHO hi", "A CLIENT NO-EVICT x", "A EXEC", "A CLIENT GETNAME"],
    "only what the node serves": ["A MULTI", "A PING", "A CLIENT SETNAME me", "A CLIENT GETNAME", "A EXEC"],
    "auth": ["A MULTI", "A AUTH x", "A AUTH a b c", "A EXEC"],
    "hello": ["A MULTI", "A HELLO 9", "A SET k 1", "A HELLO 2 NOSUCH", "A EXEC"],
    "keys": ["A MSET a 1 b 2", "A MULTI", "A DEL a none", "A EXISTS a b", "A DBSIZE", "A RENAME b c", "A KEYS *", "A EXEC"],
    "flush": ["A SET k 1", "A MULTI", "A FLUSHDB", "A GET k", "A SET k 2", "A EXEC", "A GET k"],
    "move and copy": ["A SET k 1", "A MULTI", "A COPY k c DB 1", "A MOVE k 2", "A EXISTS k", "A EXEC", "A SELECT 1",
                      "A GET c", "A SELECT 2", "A GET k"],
    "swapdb": ["A SET k zero", "B SELECT 1", "B SET k one", "A GET k", "B GET k", "A MULTI", "A SWAPDB 0 1", "A GET k",
               "A EXEC", "A GET k", "B GET k"],
    "the last database": ["A SELECT 15", "A SET k 1", "A MULTI", "A DBSIZE", "A KEYS *", "A SCAN 0 COUNT 1000",
                          "A RANDOMKEY", "A EXEC"],
    "large": ["A MULTI", "A SET k " + "x" * 70000, "A GET k", "A STRLEN k", "A EXEC", "A GET k"],
    "logged in within": [*USERS, "A MULTI", "A SET b 1", "A AUTH lim p", "A SET b 2", "A SET a 1", "A GET b", "A ACL WHOAMI",
                         "A EXEC", "A GET b", "A GET a", "B GET b"],
    "logged in in vain": [*USERS, "A AUTH lim p", "A MULTI", "A SET a 1", "A AUTH free no", "A SET a 2", "A GET a", "A EXEC",
                          "A GET b"],
    "logged in as more": [*USERS, "A AUTH lim p", "A MULTI", "A AUTH free p", "A GET a", "A EXEC", "A SET b 1"],
    "hello logs in": [*USERS, "A MULTI", "A SET b 1", "A HELLO 3 AUTH lim p", "A SET b 2", "A GET a", "A EXEC", "A GET b",
                      "A GET a"],
    "hello logs in and fails": [*USERS, "A MULTI", "A HELLO 3 AUTH lim p NOSUCH", "A SET b 2", "A GET a", "A EXEC", "A GET a"],
    "another protocol within": ["A MULTI", "A HGETALL h", "A GET k", "A HELLO 3", "A GET k", "A HGETALL h", "A CLIENT GETNAME",
                                "A HELLO 2", "A HGETALL h", "A SELECT 3", "A HELLO 3", "A GET k", "A EXEC", "A GET k",
                                "B HGETALL h", "B GET k", "A SELECT 0"],
    "another protocol in vain": ["A MULTI", "A HELLO 4", "A HELLO 3 AUTH nobody x", "A HGETALL h", "A EXEC", "A HGETALL h"],
    "cluster": ["A MULTI", "A SET k 1", "A CLUSTER INFO", "A EXEC"],
    "reply skip": ["A MULTI", "A SET k 1", "A EXEC", "A MULTI", "A GET k", "A EXEC"],
}
WATCHES = {
    "unchanged": ["A SET k 1", "A WATCH k", "B GET k", "A MULTI", "A SET k 2", "A EXEC", "A GET k"],
    "changed": ["A SET k 1", "A WATCH k", "B SET k 5", "A MULTI", "A SET k 2", "A EXEC", "A GET k"],
    "the same value": ["A SET k 1", "A WATCH k", "B SET k 1", "A MULTI", "A SET k 2", "A EXEC", "A GET k"],
    "there and back": ["A SET k 1", "A WATCH k", "B SET k 5", "B SET k 1", "A MULTI", "A GET k", "A EXEC"],
    "came and went": ["A WATCH k", "B SET k 5", "B DEL k", "A MULTI", "A GET k", "A EXEC"],
    "came": ["A WATCH k", "B SET k 5", "A MULTI", "A GET k", "A EXEC"],
    "went": ["A SET k 1", "A WATCH k", "B DEL k", "A MULTI", "A GET k", "A EXEC"],
    "was deleted in vain": ["A WATCH k", "B DEL k none", "B GETDEL k", "A MULTI", "A GET k", "A EXEC"],
    "deleted beside": ["B SET other 1", "A WATCH k", "B DEL other k", "A MULTI", "A GET k", "A EXEC"],
    "another key": ["A WATCH k", "B SET other 1", "A MULTI", "A GET k", "A EXEC"],
    "two keys": ["A WATCH k other", "B SET other 1", "A MULTI", "A GET k", "A EXEC"],
    "watched twice": ["A WATCH k k", "A WATCH k", "B SET k 1", "A MULTI", "A EXEC", "A MULTI", "A EXEC"],
    "unwatched": ["A WATCH k", "B SET k 1", "A UNWATCH", "A MULTI", "A GET k", "A EXEC"],
    "discarded": ["A WATCH k", "B SET k 1", "A MULTI", "A DISCARD", "A MULTI", "A GET k", "A EXEC"],
    "once only": ["A WATCH k", "A MULTI", "A EXEC", "B SET k 1", "A MULTI", "A GET k", "A EXEC"],
    "by itself": ["A WATCH k", "A SET k 1", "A MULTI", "A GET k", "A EXEC"],
    "in the block": ["A WATCH k", "A MULTI", "A SET k 1", "A SET k 2", "A EXEC", "A GET k"],
    "refused before changed": ["A WATCH k", "B SET k 1", "A MULTI", "A NOSUCH", "A EXEC", "A MULTI", "A GET k", "A EXEC"],
    "expiry": ["A SET k 1", "A WATCH k", "B EXPIRE k 100", "A MULTI", "A GET k", "A EXEC"],
    "no expiry": ["A SET k 1", "A WATCH k", "B PERSIST k", "B EXPIRE none 5", "B SETNX k 5", "A MULTI", "A GET k", "A EXEC"],
    "changed in place": ["A SET k 1", "A WATCH k", "B INCR k", "A MULTI", "A GET k", "A EXEC"],
    "past": ["A SET k 1", "A WATCH k", "B PEXPIREAT k 1", "A MULTI", "A GET k", "A EXEC"],
    "flushed": ["A SET k 1", "A WATCH k", "B FLUSHDB", "A MULTI", "A GET k", "A EXEC"],
    "flushed, nothing there": ["A WATCH k", "B FLUSHALL", "A MULTI", "A GET k", "A EXEC"],
    "another database flushed": ["A SET k 1", "A WATCH k", "B SELECT 1", "B FLUSHDB", "A MULTI", "A GET k", "A EXEC"],
    "another database": ["A WATCH k", "B SELECT 1", "B SET k 1", "A MULTI", "A GET k", "A EXEC"],
    "watched in another": ["A SELECT 1", "A WATCH k", "A SELECT 0", "B SELECT 1", "B SET k 1", "A MULTI", "A GET k", "A EXEC"],
    "swapped": ["A SET k 1", "A WATCH k", "B SWAPDB 0 1", "A MULTI", "A GET k", "A EXEC"],
    "swapped twice": ["A SET k 1", "A WATCH k", "B SWAPDB 0 1", "B SWAPDB 0 1", "A MULTI", "A GET k", "A EXEC"],
    "swapped, nowhere there": ["A WATCH k", "B SWAPDB 0 1", "A MULTI", "A GET k", "A EXEC"],
    "swapped into": ["B SELECT 1", "B SET k 1", "A WATCH k", "B SWAPDB 0 1", "A MULTI", "A GET k", "A EXEC"],
    "swapped with itself": ["A SET k 1", "A WATCH k", "B SWAPDB 0 0", "A MULTI", "A GET k", "A EXEC"],
    "swapped others": ["A SET k 1", "A WATCH k", "B SWAPDB 1 2", "A MULTI", "A GET k", "A EXEC"],
    "swapped and written": ["A WATCH k", "B SWAPDB 0 1", "B SELECT 1", "B SET k 1", "A MULTI", "A EXEC", "A WATCH k",
                            "B SELECT 0", "B SET k 2", "A MULTI", "A EXEC"],
    "renamed away": ["A SET k 1", "A WATCH k", "B RENAME k other", "A MULTI", "A EXEC"],
    "renamed over": ["A WATCH k", "B SET other 1", "B RENAME other k", "A MULTI", "A EXEC"],
    "moved": ["A SET k 1", "A WATCH k", "B MOVE k 1", "A MULTI", "A EXEC"],
    "reset": ["A WATCH k", "A RESET", "B SET k 1", "A MULTI", "A GET k", "A EXEC"],
    "by a block": ["A WATCH k", "B MULTI", "B SET k 1", "B EXEC", "A MULTI", "A GET k", "A EXEC"],
    "select inside": ["A WATCH k", "A MULTI", "A SELECT 1", "A SET k 1", "A EXEC", "A GET k"],
    "another protocol": ["A WATCH k", "A HELLO 3", "A GET k", "A MULTI", "A GET k", "A EXEC", "A WATCH k", "A HELLO 2", "B SET k 1",
                         "A GET none", "A MULTI", "A GET k", "A EXEC", "A GET none", "A HELLO 3", "A WATCH k", "A UNWATCH",
                         "A HELLO 2", "A WATCH k", "A MULTI", "A HELLO 3", "A HGETALL h", "A EXEC", "A WATCH k", "A HELLO 2",
                         "A MULTI", "A GET none", "A DISCARD", "A GET none"],
    "node's part": ["A WATCH k", "A MULTI", "A CLIENT SETNAME x", "A EXEC", "A CLIENT GETNAME", "A WATCH k", "B SET k 1",
                    "A MULTI", "A CLIENT SETNAME y", "A EXEC", "A CLIENT GETNAME"],
}
OTHERS = {
    "hash and expiry": ["A MULTI", "A HSET h f v", "A EXPIRE h 100", "A HMGET h f g", "A HGETALL h", "A EXEC"],
    "lists do not block": ["A MULTI", "A BLPOP l 0", "A RPUSH l 1", "A BLPOP l 0", "A BLMOVE l m LEFT LEFT 0", "A EXEC"],
    "streams do not block": ["A MULTI", "A XREAD BLOCK 0 STREAMS s 0", "A XADD s 1-1 a b", "A EXEC"],
    "a script": ["A MULTI", "A EVAL return{redis.call('set','q',ARGV[1]),KEYS[1]} 1 k v", "A GET q", "A EXEC", "A GET q"],
    "wrong type": ["A RPUSH l 1", "A MULTI", "A GET l", "A LLEN l", "A EXEC"],
    "sets": ["A MULTI", "A SADD s 1", "A SISMEMBER s 1", "A SMISMEMBER s 1 2", "A ZADD z 1.5 m", "A ZSCORE z m", "A EXEC"],
    "a wrong type of arity": ["A MULTI", "A LPUSH l", "A EXEC", "A LLEN l"],
    "a script's arity": ["A MULTI", "A EVAL", "A EXEC"],
}


@pytest.fixture(scope="module")
def oracle(module_stage):
    return module_stage.redis()


@pytest.fixture(scope="module")
def alone(module_stage):
    return module_stage.node("--threads", "2")


@pytest.fixture(scope="module")
def with_l2(module_stage):
    return module_stage.node("--threads", "1", l2=module_stage.redis())  # both ends of a script use one link


def words_of(line):
    return [word.encode() for word in line.split(" ")[1:]]


def converse(server, lines, proto):
    """The raw replies, in order; each line waits for its reply."""
    replies = []
    with server.wire() as conn:
        for db in b"0", b"1", b"2", b"3", b"15":
            conn.ask("SELECT", db)
            names = conn.ask("KEYS", "*")
            if names:
                conn.ask("DEL", *names)
    with server.wire(proto) as a, server.wire(proto) as b:
        for line in lines:
            conn = a if line[0] == "A" else b
            try:
                conn.send(wire.encode(words_of(line)))
                replies.append((line[:60], re.sub(rb"id\r\n:\d+", b"id", conn.read_raw()[0])))
            except wire.Closed:
                replies.append((line[:60], "closed"))
    return replies


def compare(server, oracle, scripts, proto):
    different = []
    for name, lines in scripts.items():
        ours, theirs = converse(server, lines, proto), converse(oracle, lines, proto)
        different += [(name, mine, other[1]) for mine, other in zip(ours, theirs) if mine != other]
    assert not different, "\n".join(f"{name}: {mine[0]}\n  node  {mine[1]!r}\n  redis {other!r}"
                                    for name, mine, other in different)


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("place", ["alone", "with_l2"])
def test_blocks_are_answered_as_by_redis(request, oracle, place, proto):
    compare(request.getfixturevalue(place), oracle, QUEUE, proto)


@pytest.mark.parametrize("proto", [2, 3])
def test_blocks_of_any_command_are_answered_as_by_redis(with_l2, oracle, proto):
    compare(with_l2, oracle, OTHERS, proto)


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("place", ["alone", "with_l2"])
def test_watches_see_what_they_see_in_redis(request, oracle, place, proto):
    compare(request.getfixturevalue(place), oracle, WATCHES, proto)


# --- one step ------------------------------------------------------------------------------------------------------------

def each_in_a_thread(work, count):
    """All of them together; what they raise is raised here."""
    errors = []

    def run(number):
        try:
            work(number)
        except Exception as error:  # pylint: disable=broad-except
            errors.append(error)
    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("place", ["alone", "with_l2"])
def test_nobody_sees_a_block_half_done(request, place):
    """Two workers: one client changes a pair, with something between that takes a while; others look at it."""
    server = request.getfixturevalue(place)
    rounds, while_ = 100, wire.encode([b"EXISTS", *[b"p:%d" % i for i in range(500)]]) * 10
    done = threading.Event()
    looks = []

    def write():
        with server.wire() as conn:
            for i in range(rounds):
                conn.send(wire.encode([b"MULTI"]) + wire.encode([b"SET", b"p:a", b"%d" % i]) + while_ +
                          wire.encode([b"SET", b"p:b", b"%d" % i]) + wire.encode([b"EXEC"]))
                assert [conn.read() for _ in range(14)][-1] == [b"OK"] + [0] * 10 + [b"OK"]

    def read():
        with server.wire() as conn:
            while not done.is_set():
                first, second = conn.pipeline([[b"MULTI"], [b"GET", b"p:a"], [b"GET", b"p:b"], [b"EXEC"]])[-1]
                assert first == second, (first, second)
                looks.append(first)

    def work(number):
        try:
            (read if number else write)()
        finally:
            done.set()
    server.client().mset({"p:a": "none", "p:b": "none"})
    each_in_a_thread(work, 3)
    assert len(set(looks)) > rounds / 4, "they hardly saw anything change"


def test_a_block_of_one_command_is_one_step_too(alone):
    """Two writers on two workers, and others who look."""
    rounds, keys = 1000 // SLOWER, [b"p:%d" % i for i in range(200)]
    done = threading.Event()

    def write(number):
        with alone.wire() as conn:
            for i in range(rounds):
                words = [word for key in keys for word in (key, b"%d.%d" % (number, i))]
                assert conn.pipeline([[b"MULTI"], [b"MSET", *words], [b"EXEC"]])[-1] == [b"OK"]

    def read():
        with alone.wire() as conn:
            while not done.is_set():
                assert len(set(conn.ask(b"MGET", *keys))) == 1

    def work(number):
        try:
            if number < 2:
                write(number)
            else:
                read()
        finally:
            done.set()
    alone.client().delete(*keys)
    each_in_a_thread(work, 5)


PAIRS = [word for i in range(100) for word in (b"q:%d" % i, b"v")]
KEYS = PAIRS[::2]
ALL_OR_NONE = {  # what one client changes, how often, and what another may see
    "MSET, MGET": ([["MSET", *[b"1" if word == b"v" else word for word in PAIRS]], ["MSET", *PAIRS]], 600,
                   ["MGET", *KEYS], lambda seen: len(set(seen)) == 1),
    "MSET and DEL, EXISTS": ([["MSET", *PAIRS], ["DEL", *KEYS]], 600, ["EXISTS", *KEYS], lambda seen: seen in (0, 100)),
    "MSETNX and UNLINK, TOUCH": ([["MSETNX", *PAIRS], ["UNLINK", *KEYS]], 600, ["TOUCH", *KEYS], lambda seen: seen in (0, 100)),
    "MSET and FLUSHDB, DBSIZE": ([["MSET", *PAIRS], ["FLUSHDB"]], 600, ["DBSIZE"], lambda seen: seen in (0, 100)),
    "RENAME, KEYS": ([["MSET", *PAIRS], ["RENAME", "q:1", "q:x"], ["RENAME", "q:x", "q:1"]], 1500, ["KEYS", "*"],
                     lambda seen: len(seen) in (0, 100)),
    "SET one by one, MGET": ([["SET", "q:1", "v"], ["SET", "q:2", "v"], ["DEL", "q:2"], ["DEL", "q:1"]], 1500,
                             ["MGET", "q:1", "q:2"], lambda seen: seen[0] == b"v" or seen[1] != b"v"),
}


@pytest.mark.parametrize("name", ALL_OR_NONE)
def test_who_looks_at_several_keys_sees_them_at_one_moment(alone, name):
    """Without MULTI, too: the clients are of two workers."""
    changes, rounds, look, is_whole = ALL_OR_NONE[name]
    done = threading.Event()

    def work(number):
        with alone.wire() as conn:
            conn.ask("SELECT", "5")
            try:
                for i in range(rounds // SLOWER if number < 2 else 0):
                    conn.ask(*changes[i % len(changes)])
                while number >= 2 and not done.is_set():
                    for seen in conn.pipeline([look] * 16):
                        assert is_whole(seen), seen
            finally:
                done.set()
    writers = 1 if "RENAME" in name or "SET one" in name else 2
    alone.client(db=5).flushdb()
    each_in_a_thread(lambda number: work(number if number < writers else 2), 4)


# What may have no answer, or end the connection: all sent at once, and all that comes is compared.
SILENT = {
    "off": ["MULTI", "SET k 1", "CLIENT REPLY OFF", "SET k 2", "CLIENT GETNAME", "EXEC", "GET k", "CLIENT REPLY ON", "GET k"],
    "off and on": ["MULTI", "CLIENT REPLY OFF", "SET k 1", "PING", "CLIENT REPLY ON", "GET k", "EXEC", "GET k"],
    "on": ["CLIENT REPLY OFF", "MULTI", "SET k 1", "CLIENT GETNAME", "CLIENT REPLY ON", "GET k", "EXEC", "GET k"],
    "on, of a skip": ["MULTI", "SET k 1", "CLIENT REPLY SKIP", "CLIENT REPLY SKIP", "CLIENT GETNAME", "EXEC", "GET k", "GET k"],
    "skip": ["MULTI", "CLIENT REPLY SKIP", "SET k 1", "EXEC", "ECHO skipped", "ECHO heard"],
    "skip, and only the node's": ["MULTI", "CLIENT REPLY SKIP", "PING", "EXEC", "ECHO skipped", "ECHO heard"],
    "off before": ["CLIENT REPLY OFF", "MULTI", "SET k 1", "PING", "EXEC", "CLIENT REPLY ON", "GET k"],
    "a list in silence": ["MULTI", "SET k 1", "CLIENT REPLY OFF", "CLIENT LIST", "CLIENT REPLY ON", "GET k", "EXEC", "GET k"],
    "killed by itself": ["MULTI", "SET k 1", "CLIENT KILL TYPE normal SKIPME no", "SET k 2", "PING", "EXEC", "SET k 3"],
}


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("place", ["alone", "with_l2"])
def test_silence_in_a_block_is_as_redis_keeps_it(request, oracle, place, proto):
    different = []
    for name, lines in SILENT.items():
        said = []
        for server in request.getfixturevalue(place), oracle:
            with server.wire() as other, server.wire(proto) as conn:
                other.ask("DEL", "k")
                if name == "killed by itself":  # those are counted
                    until(lambda other=other: other.ask("CLIENT", "LIST").count(b"\n") == 2, 5, "who was here before has left")
                conn.send(b"".join(wire.encode(line.split(" ")) for line in [*lines, "QUIT"]))
                assert conn.closes_within(10), name
                left = conn.leftover()
            with server.wire() as other:
                said.append((left, other.ask("GET", "k")))
        if said[0] != said[1]:
            different.append((name, *said))
    assert not different, different


def count_up(servers, clients, rounds):
    """`clients` add one `rounds` times each, as redis-py's recipe says. The conflicts there were."""
    servers[0].client().set("counter", 0)
    conflicts = []

    def work(number):
        client = servers[number % len(servers)].client()
        for _ in range(rounds):
            with client.pipeline() as pipe:
                while True:
                    try:
                        pipe.watch("counter")
                        value = int(pipe.get("counter"))
                        pipe.multi()
                        pipe.set("counter", value + 1)
                        pipe.execute()
                        break
                    except redis.WatchError:
                        conflicts.append(number)
    each_in_a_thread(work, clients)
    assert servers[0].client().get("counter") == b"%d" % (clients * rounds)
    return len(conflicts)


def test_counting_with_watch_loses_nothing_alone(alone):
    assert count_up([alone], 8, 40) > 0, "nobody met anybody: this proves nothing"


@pytest.mark.own
def test_counting_with_watch_loses_nothing_on_two_nodes(module_stage):
    """Each read of the counter under WATCH is Redis' own, however hot it is in both L1."""
    redis_server = module_stage.redis()
    nodes = [module_stage.node("--threads", "2", l2=redis_server) for _ in range(2)]
    assert count_up(nodes, 8, 25) > 0, "nobody met anybody: this proves nothing"


@pytest.mark.parametrize("place", ["alone", "with_l2"])
def test_pipelines_of_redis_py_are_transactions(request, place):
    client = request.getfixturevalue(place).client(decode_responses=True)
    client.delete("k", "n")
    with client.pipeline(transaction=True) as pipe:
        assert pipe.set("k", "v").incrby("n", 5).get("k").execute() == [True, 5, "v"]
    with client.pipeline() as pipe, pytest.raises(redis.ResponseError, match="not an integer"):
        pipe.incr("k").get("n").execute()
    with client.pipeline() as pipe:
        assert [str(reply) for reply in pipe.incr("k").get("n").execute(raise_on_error=False)][1] == "5"


def test_a_key_that_expires_has_changed(alone):
    with alone.wire() as a, alone.wire() as b:
        a.pipeline([["SET", "soon", "v", "PX", "30"], ["WATCH", "soon"], ["MULTI"], ["GET", "soon"]])
        until(lambda: b.ask("PTTL", "soon") == -2, 5, "it has expired")
        assert a.ask("EXEC") is wire.NULL_ARRAY
        a.pipeline([["WATCH", "soon"], ["MULTI"], ["GET", "soon"]])
        assert a.ask("EXEC") == [wire.NULL_BULK]


def test_what_has_expired_counts_until_it_is_met_but_is_no_key(alone):
    """DEBUG SET-ACTIVE-EXPIRE 0: nobody meets it but who asks."""
    with alone.wire() as a, alone.wire() as b:
        a.pipeline([["SELECT", "6"], ["FLUSHDB"], ["DEBUG", "SET-ACTIVE-EXPIRE", "0"]])
        try:
            a.pipeline([["SET", "x", "v", "PX", "1"], ["SET", "y", "v", "PX", "1"]])
            b.ask("DEBUG", "SLEEP", "0.3")  # longer than two sweeps
            assert a.pipeline([["DBSIZE"], ["GET", "y"], ["DBSIZE"]]) == [2, wire.NULL_BULK, 1]
            a.pipeline([["SELECT", "7"], ["WATCH", "x"], ["SWAPDB", "6", "7"], ["MULTI"], ["PING"]])
            assert a.ask("EXEC") == [b"PONG"]
        finally:
            a.ask("DEBUG", "SET-ACTIVE-EXPIRE", "1")


def test_with_a_maxmemory_that_cannot_be_nothing_comes(alone, oracle):
    tail = [["GET", "oom"], ["DEL", "oom"], ["SET", "oom", "2"], ["HSET", "h", "f", "v"], ["MULTI"], ["GET", "oom"], ["EXEC"],
            ["MULTI"], ["DISCARD"], ["EXPIRE", "k", "1"], ["CONFIG", "GET", "maxmemory"]]
    blocks = [["MULTI"], ["SET", "oom", "3"]], [["MULTI"], ["GET", "oom"], ["DEL", "none"]]
    answers = []
    for server in alone, oracle:
        with server.wire() as conn, server.wire() as other:
            said = []
            try:
                for block in blocks:
                    conn.pipeline([["SET", "oom", "1"], *block])
                    said += [other.ask("CONFIG", "SET", "maxmemory", "1"), conn.ask("EXEC"), *conn.pipeline(tail)]
                    said += [other.ask("CONFIG", "SET", "maxmemory", "67108864"), conn.ask("SET", "oom", "4"), conn.ask("DEL", "oom")]
            finally:
                other.ask("CONFIG", "SET", "maxmemory", "67108864")
            answers.append(said)
    assert answers[0] == answers[1]
    with alone.wire() as conn:
        alone.client().flushall()
        used = alone.client().info("memory")["used_memory"]
        assert 0 < used < 1000000, "it is not full yet"
        try:
            assert conn.pipeline([["CONFIG", "SET", "maxmemory", "1000000"], ["SET", "oom", "1"], ["DEL", "oom"]]) == [b"OK", b"OK", 1]
        finally:
            conn.ask("CONFIG", "SET", "maxmemory", "67108864")


# --- the connection ---------------------------------------------------------------------------------------------------------

@pytest.mark.own
@pytest.mark.parametrize("place", ["alone", "with_l2"])
def test_answers_that_take_time_stand_at_their_places(request, place):
    server = request.getfixturevalue(place)
    with server.wire() as conn:
        replies = conn.pipeline([["MULTI"], ["SET", "k", "1"], ["CLIENT", "LIST"], ["INFO", "keyspace"], ["GET", "k"],
                                 ["DEBUG", "SLEEP", "0.01"], ["CLIENT", "KILL", "ID", "999999"], ["PING"], ["EXEC"],
                                 ["ECHO", "next"], ["GET", "k"]])
        done, clients, info, value, slept, killed, pong = replies[8]
        assert (done, value, slept, killed, pong) == (b"OK", b"1", b"OK", 0, b"PONG")
        assert b"cmd=exec" in clients and info.startswith(b"# Keyspace")
        assert replies[9:] == [b"next", b"1"]


@pytest.mark.own
@pytest.mark.parametrize("place", ["alone", "with_l2"])
def test_who_leaves_in_the_middle_takes_his_queue_along(request, place):
    server = request.getfixturevalue(place)
    server.client().delete("left")
    for words in ([], ["EXEC"]):
        with server.wire() as conn:
            conn.pipeline([["MULTI"], ["DEBUG", "SLEEP", "0.05"], ["CLIENT", "LIST"]])
            conn.send(wire.encode(["SET", "left", "1"]))
            conn.send(wire.encode(words) if words else b"")
    with server.wire() as conn:
        if place == "alone":
            conn.ask("WATCH", "left")
        conn.pipeline([["MULTI"], ["SET", "left", "1"]])
    with server.wire() as conn, server.wire() as other:
        conn.pipeline([["CLIENT", "SETNAME", "queuing"], ["MULTI"], ["SET", "k", "1"]])
        line = next(line for line in other.ask("CLIENT", "LIST").split(b"\n") if b"name=queuing" in line)
        assert b" flags=x " in line and b" multi=1 " in line and b"multi-mem=0" not in line
        conn.ask("DISCARD")
        line = next(line for line in other.ask("CLIENT", "LIST").split(b"\n") if b"name=queuing" in line)
        assert b" flags=N " in line and b" multi=-1 " in line and b"multi-mem=0" in line


@pytest.mark.parametrize("place", ["alone", "with_l2"])
def test_a_pause_of_writes_holds_the_block_that_writes(request, place):
    server = request.getfixturevalue(place)
    with server.wire() as conn, server.wire() as reader, server.wire() as other:
        conn.pipeline([["MULTI"], ["SET", "k", "paused"]])
        reader.pipeline([["MULTI"], ["GET", "k"]])
        try:
            assert other.ask("CLIENT", "PAUSE", "10000", "WRITE") == b"OK"
            conn.send(wire.encode(["EXEC"]))
            assert reader.ask("EXEC") != [b"paused"]
            assert other.ask("GET", "k") != b"paused"
            until(lambda: b"blocked_clients:1\r\n" in other.ask("INFO", "clients"), 5, "who is held counts as blocked")
        finally:
            assert other.ask("CLIENT", "UNPAUSE") == b"OK"
        assert conn.read() == [b"OK"]


@pytest.mark.own
@pytest.mark.skipif("JOURNEY_SANITIZED" in os.environ, reason="it is judged by its time")
def test_many_keys_are_watched_in_less_than_the_square_of_their_time(alone):
    with alone.wire() as conn:
        keys = [f"many:{i}" for i in range(60_000)]
        conn.ask("WATCH", *keys)
        began = time.monotonic()  # each is found among all of them
        assert conn.ask("WATCH", *keys) == b"OK"
        assert time.monotonic() - began < 5, "another client of this worker would have waited so long"
        conn.ask("SET", "many:59999", "changed")
        assert conn.ask("MULTI") == b"OK" and conn.ask("PING") == b"QUEUED" and conn.ask("EXEC") is wire.NULL_ARRAY


@pytest.mark.own
@pytest.mark.skipif("JOURNEY_SANITIZED" in os.environ, reason="a quarter of a gigabyte takes a sanitizer seven seconds")
def test_a_queue_has_a_limit(alone):
    """256 MiB (protocol/limits.h)."""
    with alone.wire(timeout_s=60) as conn:
        assert conn.pipeline([["MULTI"], ["SET", "k", "x" * (1 << 20)]]) == [b"OK", b"QUEUED"]
        reply = conn.ask("SET", "huge", b"x" * (255 << 20))
        assert reply.startswith(b"ERR the transaction takes more than 268435456 bytes"), reply
        assert conn.ask("GET", "k") == b"QUEUED"
        assert conn.ask("EXEC").startswith(b"EXECABORT ")
        assert conn.ask("EXISTS", "huge") == 0


# --- with an L2 --------------------------------------------------------------------------------------------------------------

@pytest.mark.own
def test_what_a_block_wrote_is_read_by_all(stage):
    """Its keys end in L1, in whatever database, before it is answered: their announcement is held up. Another node follows."""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node("--mode", "bounded 20s", "--l2-timeout", "10s", l2=proxy.url)
        other = stage.node(l2=redis_server)
        with node.wire() as a, node.wire() as b, other.wire() as far:
            b.pipeline([["SET", "k:1", "old"], ["SET", "k:4", "old"], ["SELECT", "1"], ["SET", "k:3", "old"]])
            until(lambda: serves_hits(node, b, "k:3"), 5, "k:3 of database 1 is in L1")
            b.ask("SELECT", "0")
            until(lambda: serves_hits(node, b, "k:1") and serves_hits(node, b, "k:4"), 5, "the others are, too")
            until(lambda: serves_hits(other, far, "k:1"), 5, "the other node has it")
            proxy.hold("down", b"invalidate")
            redis_server.client().set("k:4", "new")
            until(lambda: proxy.holds("down"), 5, "announcements are held up")
            assert b.ask("GET", "k:4") == b"old", "they are not: this proves nothing"
            replies = a.pipeline([["MULTI"], ["SET", "k:1", "new"], ["SELECT", "1"], ["SET", "k:3", "new"], ["EXEC"],
                                  ["GET", "k:3"]])
            assert replies[4] == [b"OK", b"OK", b"OK"] and replies[5] == b"new"
            assert b.pipeline([["GET", "k:1"], ["SELECT", "1"], ["GET", "k:3"]]) == [b"new", b"OK", b"new"]
            until(lambda: far.ask("GET", "k:1") == b"new", 2, "the other node follows")
            proxy.release("down")
        stage.end()


@pytest.mark.own
def test_what_a_script_in_a_block_wrote_is_read_at_once(with_l2):
    """It names no key: the answer waits for the announcement."""
    with with_l2.wire() as a, with_l2.wire() as b:
        a.ask("SET", "k:s", "old")
        for i in range(20):
            value = b"%d" % i
            until(lambda: serves_hits(with_l2, b, "k:s"), 5)
            script = "return redis.call('set', 'k:s', ARGV[1])"
            replies = a.pipeline([["MULTI"], ["EVAL", script, "0", value], ["CACHE.FETCH", "k:s"], ["EXEC"]])
            assert replies[3][0] == b"OK" and replies[3][1][1] == value
            assert b.ask("GET", "k:s") == value


@pytest.mark.own
def test_blocks_are_sent_one_behind_the_other_and_in_order(with_l2):
    """A pipeline of blocks, single commands and reads on one connection."""
    with with_l2.wire() as conn:
        conn.ask("DEL", "order")
        asked, expected = [], []
        for i in range(200):
            asked += [["MULTI"], ["APPEND", "order", "x"], ["STRLEN", "order"], ["EXEC"], ["APPEND", "order", "y"],
                      ["STRLEN", "order"], ["MULTI"], ["GET", "order"], ["EXEC"]]
            expected += [b"OK", b"QUEUED", b"QUEUED", [2 * i + 1, 2 * i + 1], 2 * i + 2, 2 * i + 2, b"OK", b"QUEUED",
                         [b"xy" * (i + 1)]]
        assert conn.pipeline(asked) == expected


@pytest.mark.own
def test_a_block_during_which_l2_dies_is_unknown(stage):
    """Sent and not answered: UNKNOWN, and it cannot run any more; before that nothing was sent: L2DOWN."""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node("--l2-timeout", "500ms", l2=proxy.url)
        with node.wire() as conn:
            conn.pipeline([["SET", "k", "0"], ["MULTI"], ["SET", "k", "marker"], ["CLIENT", "SETNAME", "done"]])
            proxy.hold("up", b"marker")
            conn.send(wire.encode(["EXEC"]))
            until(lambda: proxy.holds("up"), 5, "it is on its way")
            reply = conn.read()
            assert reply == b"UNKNOWN the write may or may not have run; it cannot run any more", reply
            proxy.release("up")
            assert conn.ask("CLIENT", "GETNAME") is wire.NULL_BULK, "the node's part does not run without the rest"
            until(lambda: conn.ask("GET", "k") == b"0", 5, "it did not run")
            redis_server.process.kill()
            redis_server.process.wait()
            until(lambda: conn.ask("SET", "k", "1").startswith(b"L2DOWN"), 5)
            conn.pipeline([["MULTI"], ["SET", "k", "2"]])
            assert conn.ask("EXEC").startswith(b"L2DOWN ")
            assert conn.ask("EXEC") == b"ERR EXEC without MULTI"
            assert conn.pipeline([["MULTI"], ["PING"], ["EXEC"]])[2] == [b"PONG"]
        proxy.heal()
        node.end()


@pytest.mark.own
def test_what_redis_refuses_when_queued_aborts(stage):
    """The node does not know it; Redis does, with the same words at EXEC as for its own clients."""
    redis_server = stage.redis()
    redis_server.client().execute_command("ACL", "SETUSER", "some", "on", ">secret", "~*", "&*", "+@all", "-lpush")
    node = stage.node(l2=f"redis://some:secret@127.0.0.1:{redis_server.port}")
    with node.wire() as conn:
        conn.pipeline([["MULTI"], ["SET", "k", "1"], ["LPUSH", "l", "1"]])
        assert conn.ask("EXEC") == b"EXECABORT Transaction discarded because of previous errors."
        assert conn.ask("EXISTS", "k") == 0


@pytest.mark.own
@pytest.mark.parametrize("flags", [["--writers", "nodes"], ["--mode", "strict 1s"]])
def test_blocks_in_other_kinds_of_namespaces(stage, flags):
    """Where writes announce themselves the block does; where all nodes are waited for, the block waits."""
    redis_server = stage.redis()
    nodes = [stage.node(*flags, l2=redis_server) for _ in range(2)]
    with nodes[0].wire() as a, nodes[1].wire() as b:
        for i in range(20):
            value = b"%d" % i
            name = b"n%d" % i
            replies = a.pipeline([["MULTI"], ["SET", "k:1", value], ["SET", "k:2", value], ["GET", "k:1"], ["EXEC"],
                                  ["MULTI"], ["CLIENT", "SETNAME", name], ["SET", "k:3", value], ["SELECT", "0"], ["EXEC"]])
            assert replies[4] == [b"OK", b"OK", value] and replies[9] == [b"OK", b"OK", b"OK"]
            until(lambda value=value: b.ask("MGET", "k:1", "k:2", "k:3") == [value] * 3, 2)
        for i in range(10):
            replies = a.pipeline([["WATCH", "k:1"], ["SET", "k:2", "w"], ["INCR", "k:4"], ["GET", "k:2"], ["MULTI"],
                                  ["SET", "k:1", "w%d" % i], ["EXEC"], ["GET", "k:1"]])
            assert replies[1:4] == [b"OK", i + 1, b"w"] and replies[6:] == [[b"OK"], b"w%d" % i]
            until(lambda i=i: b.ask("GET", "k:1") == b"w%d" % i, 2)
            assert a.pipeline([["WATCH", "k:1"], ["SET", "k:2", "x"]]) == [b"OK", b"OK"]
            assert b.ask("SET", "k:1", "20") == b"OK"
            assert a.pipeline([["SET", "k:3", "x"], ["MULTI"], ["SET", "k:1", "y"], ["EXEC"]])[3] is wire.NULL_ARRAY
        a.pipeline([["RPUSH", "l", "1"], ["MULTI"], ["INCR", "k:1"], ["GET", "l"], ["DEL", "k:2"]])
        replies = a.ask("EXEC")
        assert replies[0] == 21 and replies[1].startswith(b"WRONGTYPE") and replies[2] == 1


# --- WATCH with an L2: a connection of its own -----------------------------------------------------------------------------

def lines_in_use(node):
    return int(node.info()["l2_lines_used"])


@pytest.mark.own
def test_under_watch_l2_is_read_and_l1_is_not(stage):
    """What L1 holds is behind Redis, whose announcement is held up: WATCH, GET and EXEC must speak of the same value."""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node("--mode", "bounded 20s", "--l2-timeout", "10s", l2=proxy.url)
        with node.wire() as conn, node.wire() as other:
            conn.ask("SET", "k", "old")
            until(lambda: serves_hits(node, other, "k"), 5)
            proxy.hold("down", b"invalidate")
            redis_server.client().set("k", "new")
            until(lambda: proxy.holds("down"), 5, "announcements are held up")
            assert other.ask("GET", "k") == b"old", "they are not: this proves nothing"
            replies = conn.pipeline([["WATCH", "k"], ["GET", "k"], ["MGET", "k", "no"], ["STRLEN", "k"], ["MULTI"],
                                     ["SET", "k", "newer"], ["EXEC"]])
            assert replies[:4] == [b"OK", b"new", [b"new", wire.NULL_BULK], 3] and replies[6] == [b"OK"]
            proxy.release("down")
        stage.end()


@pytest.mark.own
def test_a_line_is_given_back_however_the_watch_ends(module_stage):
    redis_server = module_stage.redis()
    node = module_stage.node("--threads", "1", "--l2-pool-max", "2", "--l2-pool-min", "2", l2=redis_server)
    ends = [["EXEC"], ["DISCARD"], ["UNWATCH"], ["RESET"], None]
    with node.wire() as third:
        for i in range(30):
            words = ends[i % len(ends)]
            with node.wire() as conn, node.wire() as other:
                assert conn.ask("WATCH", "k") == other.ask("WATCH", "k", "l") == b"OK"
                refusal = third.ask("WATCH", "k")
                assert refusal == b"BUSY all 2 connections to L2 for blocking commands and WATCH are in use (l2-pool-max)"
                third.ask("SET", "k", str(i))
                if words == ["UNWATCH"]:
                    assert conn.ask(*words) == b"OK"
                elif words:
                    conn.ask("MULTI")
                    assert conn.ask(*words) is wire.NULL_ARRAY or words != ["EXEC"]
                else:
                    conn.close()
                until(lambda: third.ask("WATCH", "x") == b"OK", 5, "a line is free again")
                assert third.pipeline([["MULTI"], ["GET", "k"], ["EXEC"]])[2] == [b"%d" % i], "and clean"
        until(lambda: lines_in_use(node) == 0, 5, "those of clients who left are free, too")


@pytest.mark.own
def test_pipelines_change_links_in_order(with_l2):
    with with_l2.wire() as conn:
        for i in range(50):
            value = b"%d" % i
            replies = conn.pipeline([["SET", "o", value], ["GET", "o"], ["WATCH", "o"], ["GET", "o"], ["MULTI"],
                                     ["APPEND", "o", "x"], ["GET", "o"], ["EXEC"], ["GET", "o"], ["WATCH", "o"],
                                     ["GET", "o"], ["UNWATCH"], ["APPEND", "o", "y"], ["GET", "o"], ["WATCH", "o"],
                                     ["SET", "o", "z"], ["MULTI"], ["EXEC"], ["GET", "o"]])
            size = len(value)
            assert replies == [b"OK", value, b"OK", value, b"OK", b"QUEUED", b"QUEUED", [size + 1, value + b"x"],
                               value + b"x", b"OK", value + b"x", b"OK", size + 2, value + b"xy", b"OK", b"OK", b"OK",
                               wire.NULL_ARRAY, b"z"]


@pytest.mark.parametrize("proto", [2, 3])
def test_client_info_tells_who_will_fail(alone, oracle, proto):
    """Flags x and d, as Redis shows them."""
    def flags(server):
        with server.wire(proto) as conn, server.wire() as other:
            other.ask("DEL", "k")

            def shown():
                line = next(each for each in bytes(other.ask("CLIENT", "LIST")).splitlines() if b"id=%d " % number in each)
                return re.search(rb"flags=(\w+)", line).group(1)
            number = conn.ask("CLIENT", "ID")
            seen = [shown()]
            for line in "WATCH k", "MULTI", "B SET k 1", "EXEC", "WATCH k", "B DEL none", "B DEL k", "UNWATCH":
                (other if line[0] == "B" else conn).ask(*line.removeprefix("B ").split(" "))
                seen.append(shown())
            return seen
    assert flags(alone) == flags(oracle)


@pytest.mark.own
def test_a_command_that_waits_for_its_turn_is_written_down_once(stage):
    """Under WATCH in a namespace whose writers tell the others it changes links, and comes again."""
    node = stage.node("--threads", "1", "--writers", "nodes", l2=stage.redis())
    with node.wire() as conn:
        conn.pipeline([["WATCH", "k"], *[["GET", "k"]] * 5, ["FLUSHALL"], ["GET", "k"], ["CONFIG", "SET", "timeout", "0"]])
    assert [line.count("flushall") for line in log_lines(node, "admin")][:1] == [1]
    assert len(log_lines(node, "admin")) == 2, log_lines(node, "admin")


@pytest.mark.own
def test_a_watch_that_redis_forgot_fails(stage):
    """Its connection is lost: a watched key may have changed."""
    redis_server = stage.redis()
    node = stage.node("--threads", "1", l2=redis_server)
    with node.wire() as conn:
        conn.pipeline([["SET", "k", "1"], ["WATCH", "k"], ["GET", "k"]])
        assert redis_server.client().execute_command("CLIENT KILL TYPE normal SKIPME yes") >= 1
        until(lambda: conn.ask("GET", "k") == b"1", 5, "the shared link is back")
        assert conn.ask("WATCH", "other") == b"OK"
        assert conn.pipeline([["MULTI"], ["SET", "k", "2"], ["EXEC"]])[2] is wire.NULL_ARRAY
        assert conn.pipeline([["MULTI"], ["SET", "k", "3"], ["EXEC"]])[2] == [b"OK"]
        assert conn.ask("GET", "k") == b"3"
    until(lambda: lines_in_use(node) == 0, 5)


@pytest.mark.own
def test_who_leaves_while_his_block_is_under_way(stage):
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node("--l2-timeout", "10s", l2=proxy.url)
        with node.wire() as other:
            for i, watch in enumerate((["WATCH", "k"], ["PING"])):
                with node.wire() as conn:
                    conn.pipeline([watch, ["MULTI"], ["SET", "left:%d" % i, "1"], ["CLIENT", "SETNAME", "x"],
                                   ["INFO", "keyspace"]])
                    proxy.hold("up", b"left:%d" % i)
                    conn.send(wire.encode(["EXEC"]))
                    until(lambda: proxy.holds("up"), 5, "it is on its way")
                proxy.release("up")
                until(lambda: lines_in_use(node) == 0, 5)
                assert other.ask("SET", "next", "1") == b"OK"
        node.end()
        assert node.process.wait() == 0
