# SPDX-License-Identifier: BSD-3-Clause
"""Large values with an L2, written: what L1 would not keep goes on to Redis as it comes. Redis has the old value or the new, whole,
whoever is killed in the middle; and memory stays what it was."""

import signal
import socket
import time

import pytest

import wire
from harness import stand_still, until
from test_large_streamed import LARGE, MB, ROOM, bytes_of, counted, lines_in_use, memory, nothing_under_way, warm

pytestmark = pytest.mark.own
DATA = bytes_of(3 * MB)


@pytest.fixture(scope="module")
def small(module_stage, redis_server):
    """8 MB of L1: nothing above 2 is kept."""
    return module_stage.node("--threads", "2", "--memory", "8mb", l2=redis_server)


def begin(server, data=DATA, share=2, words=("SET", "k")):
    """A client that has sent its words and a part of the value."""
    conn = server.wire(timeout_s=60)
    head = wire.encode([*words, data])
    conn.send(head[:len(head) - len(data) - 2 + len(data) // share])
    conn.rest = head[len(head) - len(data) - 2 + len(data) // share:]
    return conn


def fill(conn):
    """Sends what is taken, until nothing is."""
    conn.sock.settimeout(0.3)
    with pytest.raises(socket.timeout):
        while conn.rest:
            conn.rest = conn.rest[conn.sock.send(conn.rest[:MB]):]
    conn.sock.settimeout(60)


def streams(node):
    until(lambda: lines_in_use(node) == 1, 10, "it is on its way")


def test_a_value_larger_than_l1_is_written_in_little_memory(small, redis_server):
    data = bytes_of(LARGE)
    warm(small)
    before, written = memory(small), counted(small, "written")
    with small.wire(timeout_s=60) as conn, redis_server.wire(timeout_s=60) as direct:
        direct.ask("SET", "k", "old")
        assert conn.ask("SET", "k", data) == b"OK"
        assert direct.ask("GET", "k") == data
        assert conn.ask("SET", "k", data[1:], "EX", "1000", "XX") == b"OK"
        assert conn.ask("TTL", "k") in (999, 1000)
        assert direct.ask("STRLEN", "k") == LARGE - 1
    assert memory(small) - before < ROOM
    assert counted(small, "written") - written == 2
    nothing_under_way(small)


def test_the_whole_family(small, redis_server):
    """The same replies as of Redis itself, and the same values behind them; also of what Redis refuses."""
    calls = [["SETNX", "f", DATA], ["SETNX", "f", DATA[1:]], ["SET", "f", DATA[2:], "NX"], ["SET", "f", DATA[3:], "XX", "KEEPTTL"],
             ["SETEX", "f", "1000", DATA], ["PSETEX", "f", "1000000", DATA[4:]], ["SET", "f", DATA[5:], "GET"], ["GETSET", "f", DATA[6:]],
             ["SET", "f", DATA, "EX", "0"], ["SET", "f", DATA, "SOON"], ["SETEX", "f", "-1", DATA], ["SET", "f", DATA, "EX", "5", "NX", "XX"],
             ["SELECT", "2"], ["SET", "f", DATA], ["DEL", "f"], ["RPUSH", "f", "x"], ["SET", "f", DATA, "GET"], ["SET", "f", DATA], ["SELECT", "0"]]
    for proto in (2, 3):
        with small.wire(proto, timeout_s=60) as conn, redis_server.wire(proto, timeout_s=60) as direct:
            direct.ask("SELECT", "5")
            for call in calls:
                same = ["SELECT", str(int(call[1]) + 5)] if call[0] == "SELECT" else call
                told, right = conn.ask_raw(*call), direct.ask_raw(*same)
                assert told == right, (call[0], call[-1][:10], told[:80], right[:80])
                assert conn.ask("STRLEN", "f") == direct.ask("STRLEN", "f")
            direct.ask("FLUSHALL")


def test_order_within_a_connection(small):
    """What is sent behind it runs behind it, and finds it."""
    with small.wire(timeout_s=60) as conn:
        replies = conn.pipeline([["SET", "o", "1"], ["APPEND", "o", "2"], ["GET", "o"], ["SET", "o", DATA], ["STRLEN", "o"], ["GETRANGE", "o", "0", "7"],
                                 ["SET", "o", DATA[8:], "EX", "100"], ["GET", "o"], ["SET", "o", "small"], ["GET", "o"], ["PING"]])
    assert replies == [b"OK", 2, b"12", b"OK", len(DATA), DATA[:8], b"OK", DATA[8:], b"OK", b"small", b"PONG"]


def test_what_comes_behind_it_does_not_overtake_it(stage):
    """It goes over another connection than they do, and Redis reads those as it likes."""
    server = stage.redis()
    node = stage.node("--threads", "1", "--memory", "8mb", "--l2-timeout", "20s", l2=server)
    with node.wire() as other:
        for turn in range(6):
            conn = begin(node, data=DATA[turn:], words=("SET", f"turn {turn}"))
            streams(node)
            stand_still(server.process)
            conn.send(conn.rest + wire.encode(["STRLEN", f"turn {turn}"]))
            for _ in range(50):
                assert other.ask("PING") == b"PONG"
            stand_still(server.process, False)
            assert conn.read() == b"OK"
            assert conn.read() == len(DATA) - turn
            conn.close()


def test_others_see_the_old_value_until_it_is_whole(small, redis_server):
    with small.wire() as other, redis_server.wire() as direct:
        other.ask("SET", "k", "old")
        assert other.ask("GET", "k") == b"old"
        writer = begin(small)
        streams(small)
        took = []
        for i in range(100):
            began = time.monotonic()
            assert other.ask("GET", "k") == b"old"
            other.ask("SET", f"beside {i}", "v")
            took.append(time.monotonic() - began)
        assert sorted(took)[90] < 0.5, "ten times what a busy machine needs"
        writer.send(writer.rest)
        assert writer.read() == b"OK"
        assert other.ask("STRLEN", "k") == len(DATA) == direct.ask("STRLEN", "k")
        writer.close()
    nothing_under_way(small)


def test_a_client_that_is_lost_in_the_middle_wrote_nothing(small, redis_server):
    clients = redis_server.client().info("clients")["connected_clients"]
    with redis_server.wire() as direct:
        direct.ask("SET", "k", "old")
        for share in (2, 1):  # in the middle; before the line end
            for _ in range(3):
                conn = begin(small, share=share)
                streams(small)
                conn.close()
                nothing_under_way(small)
        assert direct.ask("GET", "k") == b"old"
    until(lambda: redis_server.client().info("clients")["connected_clients"] <= clients, 10, "their connections are gone")


def test_a_client_that_stalls_is_closed_as_an_idle_one(stage, redis_server):
    """By `timeout`; without it, after a minute."""
    node = stage.node("--threads", "1", "--memory", "8mb", "--timeout", "1s", l2=redis_server)
    conn = begin(node, words=("SET", "stalled"))
    assert conn.closes_within(10)
    nothing_under_way(node)
    assert redis_server.client().exists("stalled") == 0


def test_redis_that_is_lost_in_the_middle_has_the_old_value(stage):
    server = stage.redis("--appendonly", "yes", "--appendfsync", "always")
    node = stage.node("--threads", "1", "--memory", "8mb", "--l2-timeout", "20s", l2=server)
    with server.wire() as direct:
        direct.ask("SET", "k", "old")
    warm(node)
    before = memory(node)
    conn = begin(node, data=bytes_of(LARGE), share=8)
    streams(node)
    stand_still(server.process)
    fill(conn)
    server.process.kill()
    conn.send(conn.rest)
    assert conn.read().startswith(b"L2DOWN")
    assert conn.ask("PING") == b"PONG", "the connection goes on"
    assert memory(node) - before < ROOM
    assert server.start()
    until(lambda: conn.ask("GET", "k") == b"old", 10)
    until(lambda: conn.ask("SET", "k", DATA) == b"OK", 10)
    assert conn.ask("STRLEN", "k") == len(DATA)
    nothing_under_way(node)


def test_redis_that_does_not_answer_is_unknown(stage):
    """It has the last byte, and stands still: it may run it, so nobody says it did not. One that takes nothing is away."""
    server = stage.redis()
    node = stage.node("--threads", "1", "--memory", "8mb", "--l2-timeout", "300ms", "--l2-relay-timeout", "600ms", l2=server)
    conn = begin(node)
    streams(node)
    conn.send(conn.rest[:-1])
    until(lambda: len(DATA) <= sum(int(c["qbuf"]) for c in server.client().client_list()), 10, "it has all but the last byte")
    stand_still(server.process)
    conn.send(conn.rest[-1:])
    assert conn.read().startswith(b"UNKNOWN")
    second = begin(node, data=bytes_of(LARGE))
    second.send(second.rest)
    assert second.read().startswith(b"L2DOWN")
    stand_still(server.process, False)
    until(lambda: conn.ask("SET", "k", DATA) == b"OK", 10)
    nothing_under_way(node)


def test_a_node_that_is_killed_in_the_middle_wrote_nothing(stage, redis_server):
    node = stage.node("--threads", "1", "--memory", "8mb", l2=redis_server)
    with redis_server.wire() as direct:
        direct.ask("SET", "k", "old")
        conn = begin(node)
        streams(node)
        node.process.kill()
        conn.close()
        assert direct.ask("GET", "k") == b"old"
    conn.close()


def test_a_node_that_ends_in_the_middle_ends(stage, redis_server):
    node = stage.node("--threads", "2", "--memory", "8mb", l2=redis_server)
    conns = [begin(node, words=("SET", f"ending {i}")) for i in range(3)]
    until(lambda: lines_in_use(node) == 3, 10)
    node.process.signal(signal.SIGTERM)
    until(lambda: "draining" in node.process.log(), 10)
    conns[0].send(conns[0].rest)
    assert conns[0].read() == b"OK", "what has begun is finished"
    assert node.process.wait() == 0, "after its time of grace, whoever stalls"
    with redis_server.wire() as direct:
        assert [direct.ask("EXISTS", f"ending {i}") for i in range(3)] == [1, 0, 0]
    for conn in conns:
        conn.close()


def test_redis_that_takes_little_holds_the_client_not_the_memory(stage):
    server = stage.redis()
    node = stage.node("--threads", "1", "--memory", "8mb", "--l2-timeout", "20s", l2=server)
    warm(node)
    before = memory(node)
    conn = begin(node, data=bytes_of(LARGE), share=8)
    streams(node)
    stand_still(server.process)
    fill(conn)
    assert memory(node) - before < ROOM
    stand_still(server.process, False)
    conn.send(conn.rest)
    assert conn.read() == b"OK"
    nothing_under_way(node)


def test_who_may_not_sends_nothing(small, redis_server):
    """Rights, as far as they are known at the head; whatever is refused later closes the line."""
    with small.wire(timeout_s=60) as admin:
        admin.ask("ACL", "SETUSER", "writer", "on", "nopass", "+@all", "%W~w:*")
        refused = counted(small, "written")
        with small.wire(timeout_s=60) as conn:
            conn.ask("AUTH", "writer", "")
            assert conn.ask("SET", "k", DATA).startswith(b"NOPERM")
            assert conn.ask("SET", "w:k", DATA, "GET").startswith(b"NOPERM")
            assert counted(small, "written") == refused
            assert conn.ask("SET", "w:k", DATA) == b"OK"
            begun = begin(small, words=("SET", "w:late"))
            streams(small)
            begun.close()
        admin.ask("ACL", "DELUSER", "writer")
        assert admin.ask("EXISTS", "w:late") == 0
    nothing_under_way(small)


def test_rights_that_are_taken_away_meanwhile(small):
    with small.wire(timeout_s=60) as admin:
        admin.ask("ACL", "SETUSER", "passing", "on", "nopass", "+@all", "~*")
        conn = small.wire(timeout_s=60)
        conn.ask("AUTH", "passing", "")
        head = wire.encode(["SET", "passing", DATA])
        conn.send(head[:MB])
        streams(small)
        admin.ask("ACL", "SETUSER", "passing", "resetkeys")
        conn.send(head[MB:])
        assert conn.read().startswith(b"NOPERM")
        nothing_under_way(small)
        assert admin.ask("EXISTS", "passing") == 0
        admin.ask("ACL", "DELUSER", "passing")


def test_a_pause_holds_it_at_its_end(small):
    with small.wire() as admin:
        conn = begin(small, words=("SET", "paused"))
        streams(small)
        admin.ask("CLIENT", "PAUSE", "100000", "WRITE")
        conn.send(conn.rest)
        until(lambda: int(small.info("clients")["blocked_clients"]) == 1, 10)
        assert admin.ask("EXISTS", "paused") == 0
        admin.ask("CLIENT", "UNPAUSE")
        assert conn.read() == b"OK"
        assert admin.ask("EXISTS", "paused") == 1
        conn.close()


def test_what_is_not_answered_is_written_all_the_same(small):
    with small.wire(timeout_s=60) as conn:
        conn.send(wire.encode(["CLIENT", "REPLY", "SKIP"]) + wire.encode(["SET", "skipped", DATA]) + wire.encode(["STRLEN", "skipped"]))
        assert conn.read() == len(DATA)


def test_who_ends_his_side_behind_it_is_answered(small):
    with small.wire(timeout_s=60) as conn:
        conn.send(wire.encode(["SET", "last words", DATA]))
        conn.sock.shutdown(socket.SHUT_WR)
        assert conn.read() == b"OK"
        assert conn.closes_within(15)
    begun = begin(small, words=("SET", "cut short"))
    begun.sock.shutdown(socket.SHUT_WR)
    assert begun.closes_within(15)
    nothing_under_way(small)
    with small.wire() as conn:
        assert [conn.ask("EXISTS", "last words"), conn.ask("EXISTS", "cut short")] == [1, 0]


def test_a_client_that_is_killed_in_the_middle(small):
    with small.wire() as admin:
        conn = small.wire()
        number = conn.ask("CLIENT", "ID")
        conn.send(wire.encode(["SET", "killed", DATA])[:MB])
        streams(small)
        assert admin.ask("CLIENT", "KILL", "ID", str(number)) == 1
        assert conn.closes_within(15)
        nothing_under_way(small)
        assert admin.ask("EXISTS", "killed") == 0


def test_what_is_held_whole(small, redis_server):
    """In MULTI, under WATCH, for a key that is too long for L1, from a client that subscribed: as any other value."""
    long_key = "l" * 70000
    written = counted(small, "written")
    with small.wire(timeout_s=60) as conn:
        assert conn.pipeline([["MULTI"], ["SET", "m", DATA], ["EXEC"]]) == [b"OK", b"QUEUED", [b"OK"]]
        assert conn.pipeline([["WATCH", "m"], ["SET", "m", DATA], ["UNWATCH"]]) == [b"OK"] * 3
        assert conn.ask("SET", long_key, DATA) == b"OK"
        assert conn.ask("STRLEN", long_key) == len(DATA)
        conn.ask("SUBSCRIBE", "c")
        assert b"only" in conn.ask("SET", "m", DATA)
    assert counted(small, "written") == written
    with redis_server.wire(timeout_s=60) as direct:
        assert direct.ask("GET", "m") == DATA


def test_who_tells_the_other_nodes_himself_is_held_whole(stage, redis_server):
    """Such a write stands between MULTI and EXEC, with its announcement."""
    node = stage.node("--threads", "1", "--memory", "8mb", "--writers", "nodes", l2=redis_server)
    with node.wire(timeout_s=60) as conn:
        assert conn.ask("SET", "told", DATA, "EX", "100") == b"OK"
        assert conn.ask("GET", "told") == DATA
    assert counted(node, "written") == 0


def test_who_tracks_is_told_and_who_monitors_sees_no_value(small, redis_server):
    with small.wire(3) as reader, small.wire(timeout_s=60) as writer, small.wire() as monitor:
        reader.ask("CLIENT", "TRACKING", "ON")
        writer.ask("SET", "tracked", "old")
        assert reader.ask("GET", "tracked") == b"old"
        assert monitor.ask("MONITOR") == b"OK"
        assert writer.ask("SET", "tracked", DATA) == b"OK"
        push = reader.read()
        assert push[1] == [b"tracked"] or push == [b"invalidate", [b"tracked"]]
        seen = monitor.read()
        while b"SET" not in seen:
            seen = monitor.read()
        assert b'"tracked" "(%d bytes)"' % len(DATA) in seen


def test_a_strict_write_is_seen_by_the_other_node(stage, redis_server):
    nodes = [stage.node("--threads", "1", "--memory", "8mb", "--mode", "strict", l2=redis_server) for _ in range(2)]
    with nodes[0].wire(timeout_s=60) as writer, nodes[1].wire(timeout_s=60) as reader:
        for turn in range(3):
            writer.ask("SET", "strict", "small")
            assert reader.ask("GET", "strict") == b"small"
            assert writer.ask("SET", "strict", DATA[turn:]) == b"OK"
            assert reader.ask("GET", "strict") == DATA[turn:]
    assert counted(nodes[0], "written") == 3


def test_more_writers_than_there_are_seats(stage, redis_server):
    node = stage.node("--threads", "1", "--memory", "8mb", "--l2-timeout", "60s", l2=redis_server)
    warm(node)
    before = memory(node)
    conns = [begin(node, words=("SET", f"seat {i}"), share=9) for i in range(20)]
    until(lambda: lines_in_use(node) == 16, 10, "all seats are taken")
    for conn in conns[:4]:
        conn.close()
    for conn in conns[4:]:
        conn.send(conn.rest)
        assert conn.read() == b"OK"
        conn.close()
    nothing_under_way(node)
    assert memory(node) - before < 2 * ROOM


def test_a_value_that_redis_does_not_take(stage):
    """Larger than its proto-max-bulk-len: that costs the connection of this value, not that of all others."""
    server = stage.redis("--proto-max-bulk-len", "1mb")
    node = stage.node("--threads", "1", "--memory", "8mb", l2=server)
    with node.wire(timeout_s=60) as conn:
        told = conn.ask("SET", "k", DATA)
        assert told.startswith((b"L2DOWN", b"ERR Protocol error", b"UNKNOWN")), "by how much Redis had when it said so"
        assert conn.ask("GET", "k") == wire.NULL_BULK
        assert conn.ask("SET", "k", "v") == b"OK"
    nothing_under_way(node)
