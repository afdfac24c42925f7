# SPDX-License-Identifier: BSD-3-Clause
"""What once went wrong between a socket and a command, one test each."""

import os
import pathlib
import signal
import socket

import pytest

import wire
from harness import until, vm_rss_bytes

SANITIZED = bool(os.environ.get("JOURNEY_SANITIZED"))


def threads_are(process, state):
    stats = pathlib.Path(f"/proc/{process.pid}/task").glob("*/stat")
    return all(stat.read_text().rsplit(")", 1)[1].split()[0] == state for stat in stats)


def stopped(process):
    """Stops it while it waits for events, so that it meets what comes meanwhile in the order in which it came."""
    until(lambda: threads_are(process, "S"), 5, f"{process.name} has nothing to do")
    process.signal(signal.SIGSTOP)
    until(lambda: threads_are(process, "T"), 5, f"{process.name} is stopped")


def ask_l2_without_an_answer(server, conn, watcher, key):
    """L2 stands still with the question of `conn` on its way."""
    identity = conn.ask("CLIENT", "ID")
    stopped(server.process)
    conn.send(wire.encode(["GET", key]))
    until(lambda: b" cmd=get " in watcher.ask("CLIENT", "LIST", "ID", identity), 5, "the read is on its way to L2")


@pytest.mark.own
def test_a_request_cut_in_two_behind_a_held_one_is_read_whole(stage):
    """RESET waits for the read; its hold ends within the turn of the loop that began it, since L2's answer comes in the
    same turn. The reader, far into the half request, was kept, and met the bytes of RESET again."""
    server = stage.redis()
    node = stage.node("--threads", "1", "--l2-timeout", "10s", l2=server)
    with node.wire() as conn, node.wire() as other:
        asked = server.calls("pttl")  # in front of each GET of ours; beats GET, too
        ask_l2_without_an_answer(server, conn, other, "cold")
        stopped(node.process)
        half = wire.encode(["SET", "k", "y" * 100])
        conn.send(wire.encode(["RESET"]) + half[:60])
        other.send(wire.encode(["PING"]) * 300)  # more than a batch: it is executed before the loop looks at L2
        server.process.signal(signal.SIGCONT)
        until(lambda: server.calls("pttl") > asked, 5, "L2 has answered")
        node.process.signal(signal.SIGCONT)
        assert [other.read() for _ in range(300)] == [b"PONG"] * 300
        conn.send(half[60:])
        assert [conn.read() for _ in range(3)] == [wire.NULL_BULK, b"RESET", b"OK"]


@pytest.mark.own
def test_no_request_is_lost_when_a_hold_ends_within_its_turn(stage):
    """900 calls wait, 600 come: the first batch of them ends in HOLD_QUEUE, its rest is stepped over; L2 answers in the
    same turn, and the one request of the second batch was executed in the place of those before it."""
    server = stage.redis()
    node = stage.node("--threads", "1", "--l2-timeout", "10s", l2=server)
    with node.wire() as conn, node.wire() as watcher:
        identity = conn.ask("CLIENT", "ID")
        assert conn.pipeline([["HLEN", "none"]] * 100) == [0] * 100, "its answers are small: 900 may be under way"
        stopped(server.process)
        conn.send(wire.encode(["INCR", "n"]) * 899 + wire.encode(["STRLEN", "n"]))
        until(lambda: b" cmd=strlen " in watcher.ask("CLIENT", "LIST", "ID", identity), 5, "900 calls are on their way")
        stopped(node.process)
        conn.send(wire.encode(["INCR", "n"]) * 600)
        server.process.signal(signal.SIGCONT)
        until(lambda: server.calls("strlen") == 1, 5, "L2 has answered")
        node.process.signal(signal.SIGCONT)
        assert [conn.read() for _ in range(900)] == [*range(1, 900), 3]
        assert [conn.read() for _ in range(600)] == list(range(900, 1500))


def test_the_end_of_the_stream_does_not_overtake_what_was_sent_before_it(stage):
    """200 MB of answers hold the connection; what was not executed by then was dropped at the client's half close."""
    node = stage.node("--threads", "1")
    value = b"x" * 1_000_000
    with node.wire() as conn:
        conn.ask("SET", "big", value)
        conn.send(wire.encode(["GET", "big"]) * 200 + wire.encode(["SET", "last", "1"]))
        conn.sock.shutdown(socket.SHUT_WR)
        assert all(conn.read() == value for _ in range(200))
        assert conn.read() == b"OK" and conn.closes_within(15)


def test_auth_counts_for_what_is_pipelined_behind_it(stage):
    """The requests behind it were measured by the limits before AUTH, since they are read before it is executed."""
    node = stage.node("--requirepass", "secret")
    pairs = [str(i) for i in range(20)]
    with node.wire() as conn:
        replies = conn.pipeline([["AUTH", "secret"], ["MSET", *pairs], ["SET", "k", "x" * 20_000], ["STRLEN", "k"]])
        assert replies == [b"OK", b"OK", b"OK", 20_000]
    with node.wire() as conn:
        replies = conn.pipeline([["AUTH", "wrong"], ["MSET", *pairs]])
        assert replies[0].startswith(b"WRONGPASS") and b"unauthenticated multibulk length" in replies[1]


@pytest.mark.own
def test_a_client_that_sends_slowly_is_not_idle(stage):
    node = stage.node("--timeout", "1s")
    with node.wire() as conn, node.wire() as watcher:
        identity = conn.ask("CLIENT", "ID")
        request = wire.encode(["SET", "k", "x" * 10_000])
        sent = 0

        def one_more_byte_and_is_old():
            nonlocal sent
            conn.send(request[sent:sent + 1])
            sent += 1
            fields = dict(word.split("=", 1) for word in watcher.ask("CLIENT", "LIST", "ID", identity).decode().split())
            return int(fields["age"]) >= 4

        until(one_more_byte_and_is_old, 10, "the client is four seconds old", every_s=0.05)
        conn.send(request[sent:])
        assert conn.read() == b"OK"


@pytest.mark.own
def test_a_paused_client_is_not_idle(stage):
    node = stage.node("--timeout", "1s")
    with node.wire() as conn, node.wire() as other:
        other.ask("CLIENT", "PAUSE", "3000", "WRITE")
        assert conn.ask("SET", "k", "1") == b"OK"


def test_an_mget_of_more_cold_keys_than_a_link_takes_is_answered(node_with_l2):
    """Two requests to L2 for each key are more than LIMIT_LINK_QUEUE: it was refused with BUSY, every time."""
    with node_with_l2.wire() as conn:
        conn.ask("SET", "key 39999", "last")
        values = conn.ask("MGET", *[f"key {i}" for i in range(40_000)])
        assert len(values) == 40_000 and values[39_999] == b"last"
        assert all(value is wire.NULL_BULK for value in values[:-1])


def test_small_answers_of_l2_that_nobody_reads_cost_little(stage):
    """Each kept a chunk of 16 KB for its five bytes: 600 MB for a million."""
    server = stage.redis()
    node = stage.node("--threads", "1", l2=server)
    count = 10_000 if SANITIZED else 1_000_000
    before = vm_rss_bytes(node.pid)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        sock.connect(("127.0.0.1", node.port))
        sock.sendall(wire.encode(["SET", "k", "v"]) * count)
        until(lambda: server.calls("set") >= count, 60, "all are executed", every_s=0.1)
        assert vm_rss_bytes(node.pid) - before < 60_000_000


@pytest.mark.own
def test_answers_that_wait_behind_a_silent_l2_cost_little(stage):
    """Each kept a chunk of 16 KB: 430 MB for a hundred clients with a thousand calls each behind a miss."""
    server = stage.redis()
    node = stage.node("--threads", "1", "--l2-timeout", "10s", l2=server)
    conns = [node.wire() for _ in range(20 if SANITIZED else 100)]
    with node.wire() as watcher:
        watcher.ask("PING")
        before = vm_rss_bytes(node.pid)
        stopped(server.process)
        for number, conn in enumerate(conns):
            conn.send(wire.encode(["GET", f"cold {number}"]) + wire.encode(["PING"]) * 900)
            conn.send(wire.encode(["ECHO", "end"]))
        until(lambda: watcher.ask("CLIENT", "LIST").count(b" cmd=echo ") == len(conns), 5, "all wait behind their miss")
        assert vm_rss_bytes(node.pid) - before < 30_000_000
        server.process.signal(signal.SIGCONT)
    for conn in conns:
        assert [conn.read() for _ in range(902)] == [wire.NULL_BULK] + [b"PONG"] * 900 + [b"end"]
        conn.close()
