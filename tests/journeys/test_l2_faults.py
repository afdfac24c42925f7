# SPDX-License-Identifier: BSD-3-Clause
"""A bad network between the node and Redis (tests/fault/proxy.py): nobody hangs, nothing stale beyond the bound."""

import threading
import time

import pytest

import wire
from harness import BOUND_S, SLACK_S, ask_timed, serves_hits, until
from proxy import FaultProxy

pytestmark = pytest.mark.own
TIMEOUT_S = 0.5


@pytest.fixture
def rig(stage):
    """(redis, proxy, node): the node sees Redis through the proxy."""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node("--l2-timeout", "500ms", l2=proxy.url)
        yield redis_server, proxy, node
        node.end()


def serves_again(node, conn, deadline_s=5.0):
    until(lambda: conn.ask("SET", "again", "1") == b"OK" and conn.ask("GET", "again") == b"1", deadline_s,
          "service resumes")
    node.wait_synced(deadline_s)


@pytest.mark.parametrize("fault", ["black hole up", "black hole down", "black hole both", "freeze both", "freeze down"])
def test_reads_of_a_silent_l2_answer_within_the_deadline(rig, fault):
    redis_server, proxy, node = rig
    kind, direction = fault.rsplit(" ", 1)
    with node.wire() as conn, node.wire() as other:
        assert conn.ask("SET", "hot", "v") == b"OK"
        until(lambda: serves_hits(node, conn, "hot"), 5)
        (proxy.black_hole if kind == "black hole" else proxy.freeze)(direction)
        other.send(wire.encode(["GET", "cold"]))
        reply, took = ask_timed(conn, "GET", "hot")
        assert reply == b"v" and took < 0.25, "a hit does not wait for another client's miss"
        began = time.monotonic()
        reply = other.read()
        assert isinstance(reply, wire.Error) and reply.startswith(b"L2DOWN "), reply
        assert time.monotonic() - began < TIMEOUT_S + SLACK_S
        until(lambda: isinstance(conn.ask("GET", "hot"), wire.Error), BOUND_S + TIMEOUT_S + SLACK_S,
              "hits end with the bound")
        for words in (["SET", "k", "v"], ["GET", "hot"], ["INCR", "n"]):
            reply, took = ask_timed(conn, *words)
            assert reply.split()[0] in (b"L2DOWN", b"UNKNOWN") and took < TIMEOUT_S + SLACK_S, (words, reply, took)
        assert conn.ask("PING") == b"PONG"
        proxy.heal()
        serves_again(node, conn)


def test_many_clients_of_a_dead_l2_are_all_answered(rig):
    """200 connections with pipelines: each gets every answer within the deadline."""
    _, proxy, node = rig
    conns = [node.wire() for _ in range(200)]
    try:
        for conn in conns:
            conn.ask("PING")
        proxy.black_hole("both")
        began = time.monotonic()
        for i, conn in enumerate(conns):
            conn.send(b"".join(wire.encode(["GET", f"cold:{i}:{j}"]) for j in range(10)) + wire.encode(["PING"]))
        for conn in conns:
            replies = [conn.read() for _ in range(11)]
            assert all(reply.startswith(b"L2DOWN ") for reply in replies[:10]) and replies[10] == b"PONG", replies
        assert time.monotonic() - began < TIMEOUT_S + 2 * SLACK_S
    finally:
        for conn in conns:
            conn.close()


def test_resets_are_seen_at_once_and_survived(rig):
    _, proxy, node = rig
    with node.wire() as conn:
        for turn in range(5):
            assert conn.ask("SET", "k", str(turn)) == b"OK"
            proxy.reset()
            serves_again(node, conn)
        accepted = proxy.accepted
        assert accepted > 5


def test_a_refusing_l2_answers_l2down_at_once(rig):
    """A link known to be down needs no deadline."""
    _, proxy, node = rig
    with node.wire() as conn:
        proxy.refuse()
        until(lambda: conn.ask("GET", "cold").startswith(b"L2DOWN "), 5, "the node notices")
        fastest = min(ask_timed(conn, "GET", f"cold:{i}")[1] for i in range(20))
        assert fastest < 0.1
        proxy.heal()
        serves_again(node, conn)


def test_replies_in_one_byte_pieces_are_put_together(rig):
    _, proxy, node = rig
    with node.wire() as conn, node.wire(proto=3) as new:
        proxy.slice(1)
        conn.ask("HSET", "h", "f", "v")
        for i in range(30):
            assert conn.ask("SET", f"k{i}", f"value {i}") == b"OK"
            assert conn.ask("GET", f"k{i}") == b"value %d" % i
            assert new.ask_raw("HGETALL", "h") == b"%1\r\n$1\r\nf\r\n$1\r\nv\r\n"


def test_a_slow_l2_slows_but_does_not_break(rig):
    _, proxy, node = rig
    with node.wire() as conn:
        proxy.delay(40)
        assert conn.ask("SET", "k", "v") == b"OK" and conn.ask("GET", "k") == b"v"
        until(lambda: ask_timed(conn, "GET", "k") < (b"v", 0.02) or ask_timed(conn, "GET", "k")[1] < 0.02, 3,
              "hits are fast")
        proxy.heal()
        serves_again(node, conn)


def test_a_strangers_write_during_a_one_way_black_hole_is_not_missed(rig):
    """The bus is silent, but not closed: the fence must close by itself."""
    redis_server, proxy, node = rig
    with node.wire() as conn:
        conn.ask("SET", "k", "old")
        until(lambda: serves_hits(node, conn, "k"), 5)
        proxy.black_hole("down")
        redis_server.client().set("k", "new")
        written = time.monotonic()
        while True:
            began = time.monotonic()
            reply = conn.ask("GET", "k")
            if reply == b"old":
                assert began - written <= BOUND_S, "served beyond the bound"
            else:
                assert isinstance(reply, wire.Error), reply
                break
        proxy.heal()
        until(lambda: conn.ask("GET", "k") == b"new", 5, "the new value is read")


def test_an_unknown_write_never_runs_late(rig):
    """COHERENCE T7: frozen after send, the client told UNKNOWN, a newer write acknowledged, then the old bytes come."""
    redis_server, proxy, node = rig
    with node.wire() as conn:
        conn.ask("SET", "k", "first")
        proxy.freeze("up")
        reply, took = ask_timed(conn, "SET", "k", "late")
        assert reply.startswith((b"UNKNOWN ", b"L2DOWN ")) and took < TIMEOUT_S + SLACK_S, reply
        redis_server.client().set("k", "newer")
        proxy.reset()
        proxy.heal()
        serves_again(node, conn)
        assert redis_server.client().get("k") == b"newer" and conn.ask("GET", "k") == b"newer"


def test_a_flapping_l2_never_hangs_a_client(rig):
    _, proxy, node = rig
    stop, failures = threading.Event(), []

    def client(number):
        with node.wire(timeout_s=10) as conn:
            while not stop.is_set():
                for words in (["SET", f"f{number}", "v"], ["GET", f"f{number}"], ["HGET", "h", "f"]):
                    try:
                        _, took = ask_timed(conn, *words)
                    except OSError as error:
                        failures.append(f"{words}: {error!r}")
                        return
                    if took > TIMEOUT_S + 2 * SLACK_S:
                        failures.append(f"{words} took {took:.2f} s")

    threads = [threading.Thread(target=client, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for fault in (proxy.reset, proxy.freeze, proxy.heal, proxy.refuse, proxy.heal, proxy.black_hole, proxy.heal):
        fault()
        time.sleep(0.3)  # how long each fault lasts, not a wait for something
    proxy.heal()
    stop.set()
    for thread in threads:
        thread.join(15)
    assert not failures, failures[:3]
    with node.wire() as conn:
        serves_again(node, conn)
