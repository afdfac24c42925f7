# SPDX-License-Identifier: BSD-3-Clause
"""Calls that wait in L2: BLPOP and its kin, XREAD BLOCK, WAIT, CLIENT UNBLOCK; and clients that leave while they wait."""

import concurrent.futures
import select
import signal
import socket
import struct

import harness
import pytest
import wire
from harness import until


@pytest.fixture(scope="module")
def oracle(module_stage):
    """A Redis of its own, to compare with."""
    return module_stage.redis()


@pytest.fixture(scope="module")
def served(module_stage, redis_server):
    return module_stage.node(l2=redis_server)


@pytest.fixture(scope="module", autouse=True)
def draining(module_stage, oracle):
    """A node that is told to end while it has a blocked client; its grace passes while the other tests run."""
    node = module_stage.node(l2=oracle)
    if harness.REHEARSAL:
        yield None
        return
    with block(node, oracle, "BLPOP", "drained", "0") as waits:
        node.process.signal(signal.SIGTERM)
        yield node, waits


@pytest.fixture
def node(served, redis_server):
    for db in 0, 3:
        redis_server.client(db=db).flushdb()
    return served


@pytest.fixture
def conn(node):
    with node.wire() as one:
        yield one


def blocked_in(server):
    return int(server.client().info("clients")["blocked_clients"])


def lines_used(node):
    return 0 if harness.REHEARSAL else int(node.info()["l2_lines_used"])


def block(node, redis, *words, proto=2, count=1):
    """A connection that Redis has blocked; `count` of them are then."""
    if not harness.REHEARSAL:
        until(lambda: node.admin("/readyz")[0] == 200, what="the node knows the commands of Redis")
    one = node.wire(proto=proto)
    one.send(wire.encode(words))
    until(lambda: blocked_in(redis) == count, what="Redis blocks it")
    return one


def client_id(node, of):
    """Of a blocked connection, by its address."""
    address = "{}:{}".format(*of.sock.getsockname())
    line = next(line for line in node.client().execute_command("CLIENT LIST") if line["addr"] == address)
    return line["id"]


AT_ONCE = """
RPUSH l a b c d e f|BLPOP no l 0|BRPOP l 0|BLMOVE l m LEFT RIGHT 0|BRPOPLPUSH l m 0|BLMPOP 0 2 no l LEFT COUNT 2|LRANGE m 0 -1
ZADD z 1 a 2 b 3 c 4 d|BZPOPMIN z 0|BZPOPMAX no z 0|BZMPOP 0 1 z MIN COUNT 2|EXISTS z
XADD x 1-1 f v|XREAD BLOCK 0 STREAMS x 0|XGROUP CREATE x g 0|XREADGROUP GROUP g me BLOCK 0 STREAMS x >|XREAD COUNT 1 STREAMS x 0
BLPOP l 0.01|BLMOVE no m LEFT LEFT 0.01|BLMPOP 0.01 1 no LEFT|BZPOPMIN no 0.01|BZMPOP 0.01 1 no MAX|XREAD BLOCK 10 STREAMS x $
BLPOP l -1|BLPOP l x|BLPOP l|BLMPOP 0 0 l LEFT|BLMPOP 0 1 l UP|BZMPOP -1 1 z MIN|BLMOVE a b UP LEFT 0|XREAD BLOCK -1 STREAMS x 0
SET s v|BLPOP s 0|BZPOPMAX s 0|BLMOVE m s LEFT LEFT 0|GET s|BRPOPLPUSH s m 0|XREAD BLOCK 0 STREAMS s 0
WAIT 0 0|WAIT 1 10|WAIT x 0|WAIT 0 -1|WAIT 0
""".replace("\n", "|").strip("|").split("|")


@pytest.mark.parametrize("proto", [2, 3])
def test_what_need_not_wait_is_answered_as_by_redis(node, oracle, proto):
    oracle.client().flushdb()
    with node.wire(proto=proto) as ours, oracle.wire(proto=proto) as theirs:
        for line in AT_ONCE:
            assert ours.ask_raw(*line.split()) == theirs.ask_raw(*line.split()), line


def test_one_pipeline_keeps_its_order(conn):
    replies = conn.pipeline([["RPUSH", "l", "a", "b"], ["BLPOP", "l", "0"], ["GET", "s"], ["BLPOP", "l", "0"], ["SET", "s", "1"],
                             ["BLPOP", "l", "0.01"], ["GET", "s"], ["LLEN", "l"]])
    assert replies == [2, [b"l", b"a"], wire.NULL_BULK, [b"l", b"b"], b"OK", wire.NULL_ARRAY, b"1", 0]
    assert conn.ask("RPUSH", "l", "a") == 1
    large = "x" * (4 << 20)  # so that Redis reads DEL long after what another connection brings at once
    assert conn.pipeline([["SET", "s", large], ["DEL", "l"], ["BLPOP", "l", "0.01"]]) == [b"OK", 1, wire.NULL_ARRAY]


@pytest.mark.parametrize("proto", [2, 3])
def test_a_blocked_client_gets_what_is_pushed_and_nothing_overtakes_it(node, redis_server, conn, proto):
    with block(node, redis_server, "BLPOP", "l", "0", proto=proto) as waits:
        waits.send(wire.encode(["PING"]))
        assert conn.ask("SET", "other", "1") == b"OK"
        assert not select.select([waits.sock], [], [], 0.05)[0], "PING does not overtake BLPOP"
        assert blocked_in(node) == 1
        assert conn.ask("RPUSH", "l", "a") == 1
        assert waits.read() == [b"l", b"a"] and waits.read() == b"PONG"
        assert conn.ask("LLEN", "l") == 0 and blocked_in(node) == 0


def test_each_has_its_own_database(node, redis_server, conn):
    with node.wire() as other:
        other.ask("SELECT", "3")
        other.send(wire.encode(["BLPOP", "l", "0"]))
        until(lambda: blocked_in(redis_server) == 1)
        assert conn.ask("RPUSH", "l", "zero") == 1
        conn.ask("SELECT", "3")
        assert conn.ask("RPUSH", "l", "three") == 1
        assert other.read() == [b"l", b"three"]
        assert other.ask("BLPOP", "l", "0.01") is wire.NULL_ARRAY
    with node.wire() as other:  # perhaps over the same connection to Redis
        assert other.ask("BLPOP", "l", "0.01") == [b"l", b"zero"]


def test_each_element_goes_to_one_of_many_consumers(node, redis_server):
    consumers, elements = 12, 600

    def consume(_):
        client, got = node.client(), []
        while True:
            _, value = client.blpop(["queue", "stop"], timeout=0)
            if value == b"stop":
                return got
            got.append(int(value))
    with concurrent.futures.ThreadPoolExecutor(consumers) as pool:
        done = [pool.submit(consume, i) for i in range(consumers)]
        until(lambda: blocked_in(redis_server) == consumers)
        with node.wire() as producer:
            producer.pipeline([["RPUSH", "queue", i] for i in range(elements)])
            producer.pipeline([["RPUSH", "stop", "stop"] for _ in range(consumers)])
        got = sorted(value for one in done for value in one.result(20))
    assert got == list(range(elements))
    assert lines_used(node) == 0


def leave_by_close(one, node):
    del node
    one.close()


def leave_by_half_close(one, node):
    del node
    one.sock.shutdown(socket.SHUT_WR)


def leave_by_reset(one, node):
    del node
    one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def leave_by_kill(one, node):
    assert node.client().execute_command("CLIENT", "KILL", "ID", client_id(node, one)) == 1


@pytest.mark.parametrize("leave", [leave_by_close, leave_by_half_close, leave_by_reset, leave_by_kill])
def test_who_leaves_takes_no_element_along(node, redis_server, conn, leave):
    waits = block(node, redis_server, "BLPOP", "l", "0")
    waits.send(wire.encode(["SET", "s", "behind it"]))
    leave(waits, node)
    until(lambda: blocked_in(redis_server) == 0, what="Redis lets it go")
    assert conn.ask("RPUSH", "l", "a") == 1
    assert conn.ask("LRANGE", "l", "0", "-1") == [b"a"]
    assert conn.ask("EXISTS", "s") == 0
    until(lambda: blocked_in(node) == 0 and lines_used(node) == 0)


def read_to_the_end(one):
    assert one.closes_within(10)
    return one.leftover()


@pytest.mark.parametrize("first", [["PING"], ["WATCH", "w"]])
def test_who_has_said_all_still_gets_what_need_not_wait(node, oracle, redis_server, first):
    """Twice: over a connection to Redis that is new, and one that is not."""
    words = [first, ["RPUSH", "l", "a"], ["BLPOP", "l", "0"], ["XADD", "x", "1-1", "f", "v"], ["XREAD", "BLOCK", "0", "STREAMS", "x", "0"],
             ["WAIT", "0", "0"], ["DEL", "x"], ["BLPOP", "l", "0"], ["SET", "s", "behind it"]]
    for _ in range(2):
        said = []
        for server in node, oracle:
            server.client().delete("l", "x", "s")
            with server.wire() as one:
                one.send(b"".join(wire.encode(each) for each in words))
                one.sock.shutdown(socket.SHUT_WR)
                said.append(read_to_the_end(one))
            assert server.client().exists("s") == 0
        assert said[0] == said[1] and b":1\r\n*2\r\n$1\r\nl\r\n" in said[0], said
        until(lambda: blocked_in(redis_server) == 0 and lines_used(node) == 0)


def test_unblock_lets_a_client_go(node, redis_server, conn):
    for how, reply in ([], b"*-1\r\n"), (["TIMEOUT"], b"*-1\r\n"), (["error"], b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"):
        with block(node, redis_server, "BLPOP", "l", "0") as waits:
            number = client_id(node, waits)
            assert conn.pipeline([["CLIENT", "UNBLOCK", number, *how], ["RPUSH", "l", "a"], ["RPOP", "l"]]) == [1, 1, b"a"]
            assert waits.read_raw()[0] == reply
            assert conn.ask("CLIENT", "UNBLOCK", number) == 0
            assert waits.ask("PING") == b"PONG"
    with block(node, redis_server, "XREAD", "BLOCK", "0", "STREAMS", "x", "$", proto=3) as waits:
        assert conn.ask("CLIENT", "UNBLOCK", client_id(node, waits)) == 1
        assert waits.read_raw()[0] == b"_\r\n"


def test_unblock_lets_a_client_go_that_watches(node, redis_server, conn):
    with node.wire() as waits:
        assert waits.ask("WATCH", "k") == b"OK"
        for reply in b"*-1\r\n", b"-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n":
            waits.send(wire.encode(["BLPOP", "l", "0"]))
            until(lambda: blocked_in(redis_server) == 1)
            how = ["ERROR"] if reply.startswith(b"-") else []
            assert conn.ask("CLIENT", "UNBLOCK", client_id(node, waits), *how) == 1
            assert waits.read_raw()[0] == reply
        redis_server.client().set("k", "1")
        assert waits.pipeline([["MULTI"], ["SET", "k", "2"], ["EXEC"]])[2] is wire.NULL_ARRAY
    until(lambda: lines_used(node) == 0)


def test_unblock_speaks_as_redis_does(node, oracle):
    with node.wire() as ours, oracle.wire() as theirs:
        for line in "99999", "-1", "x", "1 NOW", "1 ERROR more", "", "1 TIMEOUT":
            words = ["CLIENT", "UNBLOCK", *line.split()]
            expected = theirs.ask_raw(*words)
            assert ours.ask_raw(*words) == expected, line


def test_a_list_of_clients_shows_who_is_blocked(node, redis_server):
    with block(node, redis_server, "BRPOP", "l", "0") as waits:
        number = client_id(node, waits)
        clients = {line["id"]: (line["flags"], line["cmd"]) for line in node.client().execute_command("CLIENT LIST")}
        assert clients.pop(number) == ("b", "brpop") and {flags for flags, _ in clients.values()} <= {"N", "c"}  # c: one that has just left


def test_a_reply_that_nobody_wants_is_waited_for_all_the_same(node, redis_server, conn):
    with node.wire() as quiet:
        quiet.send(wire.encode(["CLIENT", "REPLY", "OFF"]) + wire.encode(["BLPOP", "l", "0"]) + wire.encode(["RPUSH", "m", "b"]))
        until(lambda: blocked_in(redis_server) == 1)
        assert conn.ask("EXISTS", "m") == 0
        assert conn.ask("RPUSH", "l", "a") == 1
        until(lambda: conn.ask("EXISTS", "m") == 1)
        assert quiet.ask("CLIENT", "REPLY", "ON") == b"OK"


def test_a_blocked_client_hears_what_is_no_answer(node, redis_server, conn):
    with node.wire(proto=3) as waits:
        assert waits.ask("SUBSCRIBE", "news")[:2] == [b"subscribe", b"news"]
        assert waits.ask("CLIENT", "TRACKING", "ON") == b"OK" and waits.ask("GET", "k") is None
        waits.send(wire.encode(["BLPOP", "l", "0"]))
        until(lambda: blocked_in(redis_server) == 1)
        assert conn.ask("SET", "k", "1") == b"OK"
        assert waits.read() == [b"invalidate", [b"k"]]
        assert conn.ask("PUBLISH", "news", "hello") == 1
        assert waits.read() == [b"message", b"news", b"hello"]
        assert conn.ask("RPUSH", "l", "a") == 1
        assert waits.read() == [b"l", b"a"]


@pytest.mark.own
def test_a_pause_keeps_the_next_call_not_the_answer(node, redis_server, conn):
    with block(node, redis_server, "BLPOP", "l", "0") as waits:
        waits.send(wire.encode(["SET", "s", "1"]))
        assert conn.ask("CLIENT", "PAUSE", "60000", "WRITE") == b"OK"
        redis_server.client().rpush("l", "a")
        assert waits.read() == [b"l", b"a"]
        assert not select.select([waits.sock], [], [], 0.05)[0]
        assert conn.ask("CLIENT", "UNPAUSE") == b"OK"
        assert waits.read() == b"OK"


@pytest.mark.own
def test_the_pool_has_a_limit_and_recovers(node, redis_server, conn):
    refused = int(node.info()["l2_lines_refused"])
    conn.ask("CONFIG", "SET", "l2-pool-max", "2")
    try:
        first = block(node, redis_server, "BLPOP", "l", "0")
        second = block(node, redis_server, "BLPOP", "l", "0", count=2)
        assert conn.ask("BLPOP", "l", "0") == b"BUSY all 2 connections to L2 for blocking commands and WATCH are in use (l2-pool-max)"
        assert lines_used(node) == 2 and int(node.info()["l2_lines_refused"]) == refused + 1
        assert conn.ask("GET", "k") is wire.NULL_BULK
        first.close()
        until(lambda: lines_used(node) == 1)
        assert conn.ask("BLPOP", "l", "0.01") is wire.NULL_ARRAY
        second.close()
        until(lambda: lines_used(node) == 0)
        assert 'terrace_l2_lines{state="used"} 0' in node.admin("/metrics")[1]
    finally:
        conn.ask("CONFIG", "SET", "l2-pool-max", "50")


@pytest.mark.own
def test_a_line_is_used_again(node, redis_server, conn):
    assert conn.ask("BLPOP", "l", "0.01") is wire.NULL_ARRAY
    before = redis_server.client().info("stats")["total_connections_received"]
    for _ in range(4):
        assert conn.ask("BLPOP", "l", "0.001") is wire.NULL_ARRAY
    assert redis_server.client().info("stats")["total_connections_received"] <= before + 1


@pytest.mark.own
@pytest.mark.parametrize("words", ["BLPOP l 0", "BRPOP l 0", "BLMOVE a b LEFT LEFT 0", "BZPOPMIN z 0", "XREAD BLOCK 0 STREAMS s 0", "WAIT 0 0"])
def test_alone_there_are_no_such_commands(node_alone, words):
    with node_alone.wire() as one:
        assert one.ask(*words.split()).startswith(b"ERR unknown command '" + words.split()[0].encode())


@pytest.mark.own
def test_with_writers_that_announce_and_in_strict_mode_they_block_too(stage, redis_server):
    redis_server.client().flushdb()
    for flags in ["--writers", "nodes"], ["--mode", "strict 500ms"]:
        node = stage.node(*flags, l2=redis_server)
        with block(node, redis_server, "BLMOVE", "a", "b", "LEFT", "LEFT", "0") as waits, node.wire() as conn:
            assert conn.ask("RPUSH", "a", "x") == 1
            assert waits.read() == b"x" and conn.ask("LPOP", "b") == b"x"
        node.end()


def test_wait_counts_the_replicas_that_have_what_the_client_wrote(stage):
    master = stage.redis("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
    replica = stage.redis("--replicaof", "127.0.0.1", str(master.port))
    until(lambda: master.client().execute_command("WAIT", "1", "50") == 1, 10, "the replica follows")
    node = stage.node(l2=master)
    with node.wire() as conn:
        conn.ask("SET", "k", "1")
        assert conn.ask("WAIT", "1", "5000") == 1
        harness.stand_still(replica.process)
        assert conn.pipeline([["SET", "k", "2"], ["WAIT", "1", "50"]])[1] == 0, "it has not what this client wrote"
        harness.stand_still(replica.process, False)
        assert conn.ask("WAIT", "1", "5000") == 1
        assert replica.client().get("k") == b"2"


@pytest.mark.own
def test_an_l2_that_dies_is_an_error_and_not_a_hang(stage):
    redis = stage.redis()
    node = stage.node("--l2-timeout", "300ms", l2=redis)
    writes = block(node, redis, "BLPOP", "l", "0")
    reads = block(node, redis, "XREAD", "BLOCK", "0", "STREAMS", "x", "$", proto=3, count=2)
    redis.process.kill()
    assert reads.read().startswith(b"L2DOWN")
    assert writes.read().startswith(b"UNKNOWN the write may or may not have run")
    assert writes.ask("BLPOP", "l", "0").startswith(b"L2DOWN")
    assert lines_used(node) == 0 and blocked_in(node) == 0
    redis.start()
    until(lambda: not isinstance(writes.ask("BLPOP", "l", "0.01"), wire.Error), 10, "they work again")


@pytest.mark.own
def test_a_drain_closes_blocked_clients_and_loses_nothing(draining, oracle):
    node, waits = draining
    assert waits.closes_within(10) and waits.leftover() == b""
    assert node.process.wait(10) == 0
    until(lambda: blocked_in(oracle) == 0)
    assert oracle.client().rpush("drained", "a") == 1 and oracle.client().llen("drained") == 1
