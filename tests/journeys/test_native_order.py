# SPDX-License-Identifier: BSD-3-Clause
"""Native requests are independent: an answer leaves when it is there, until its client waits no longer, or the node ends."""

import random
import signal
import socket
import threading
import time

import pytest

import native
from harness import SEED, until, vm_rss_bytes
from proxy import FaultProxy

pytestmark = pytest.mark.own

STUCK = b"stuck"


@pytest.fixture(scope="module")
def slow(module_stage):
    """(redis, the proxy in front of it, a node behind that)"""
    redis_server = module_stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = module_stage.node("--l2-timeout", "20s", "--l2-relay-timeout", "20s", "--memory", "16mb", l2=proxy.url)
        yield redis_server, proxy, node


@pytest.fixture
def held(slow):
    """What names STUCK stays on its way to L2 until it is let go."""
    redis_server, proxy, node = slow
    redis_server.client().flushall()
    node.wait_synced()
    redis_server.client().set("hit", "here")
    with node.wire() as conn:  # its announcement has come
        assert conn.ask("CACHE.WAITSEQ", str(conn.ask("CACHE.LASTSEQ")), "10000") == b"OK"
    proxy.hold("up", STUCK)
    yield redis_server, proxy, node
    proxy.release("up")


def hit(conn):
    answer = conn.get("hit")
    assert answer.body == b"here"
    return answer


def in_l1(node):
    with node.native() as conn:
        def is_hit():
            before = int(node.info()["l1_hits"])
            hit(conn)
            return int(node.info()["l1_hits"]) > before
        until(is_hit, 15, "it is served by L1")


def test_a_hit_overtakes_a_read_that_waits_for_l2(held):
    redis_server, proxy, node = held
    redis_server.client().set("stuck", "late")
    in_l1(node)
    with node.native() as conn:
        waiting = conn.send("GET", STUCK)
        until(lambda: proxy.holds("up"), 15, "the read is on its way")
        for _ in range(100):
            hit(conn)
        assert not conn.answered(waiting)
        proxy.release("up")
        assert conn.answer(waiting).body == b"late"


def test_a_write_that_waits_holds_nobody(held):
    _, proxy, node = held
    in_l1(node)
    with node.native() as conn:
        waiting = conn.send("SET", STUCK, "v")
        until(lambda: proxy.holds("up"), 15, "the write is on its way")
        hit(conn)
        assert conn.beat().status == "OK" and conn.call("ECHO", "x").status == "OK"
        assert not conn.answered(waiting)
        proxy.release("up")
        assert conn.answer(waiting).status == "OK"


def test_parts_of_an_mget_come_as_they_are_there(held):
    _, proxy, node = held
    in_l1(node)
    with node.native() as conn:
        request = conn.send("MGET", ["hit", STUCK, "hit"])
        until(lambda: proxy.holds("up"), 15, "one part is on its way")
        for more in (conn.read(), conn.read()):
            assert more.id == request and more.more and more.body == b"here"
        proxy.release("up")
        last = conn.read()
        assert last.meta["index"] == 1 and not last.more and last.status == "NIL"


def test_a_client_that_leaves_with_requests_under_way(held):
    _, proxy, node = held
    with node.native() as conn:
        for i in range(50):
            conn.send("GET", STUCK + b"%d" % i)
            conn.send("SET", STUCK + b"%d" % i, "v", wait_ms=60_000)
        conn.send("MGET", [STUCK + b"%d" % i for i in range(50)])
        until(lambda: proxy.holds("up"), 15, "they are on their way")
    with node.native() as conn:
        hit(conn)
    proxy.release("up")
    until(lambda: int(node.info()["native_clients"]) == 0, 15, "it has left")


# --- deadlines ------------------------------------------------------------------------------------------------------------


def test_a_read_is_answered_within_the_time_of_its_client(held):
    _, proxy, node = held
    in_l1(node)
    with node.native() as conn:
        began = time.monotonic()
        waiting = conn.send("GET", STUCK, wait_ms=150)
        other = conn.send("GET", STUCK)
        assert hit(conn).status == "OK"
        late = conn.answer(waiting)
        assert late.status == "DEADLINE" and 0.149 <= time.monotonic() - began < 10  # whole milliseconds of the node's clock
        assert not conn.answered(other)
        proxy.release("up")
        assert conn.answer(other).status == "NIL"
        assert conn.beat().status == "OK"
        assert not conn.answered(waiting), "what came later is dropped"


def test_of_a_write_that_was_sent_it_is_not_known(held):
    redis_server, proxy, node = held
    with node.native() as conn:
        answer = conn.ask("SET", STUCK, "v", wait_ms=100)
        assert answer.status == "UNKNOWN" and answer.body.startswith(b"UNKNOWN")
        proxy.release("up")
        until(lambda: redis_server.client().get(STUCK) == b"v", 15, "it ran after all")


def test_many_deadlines_of_all_lengths(held):
    _, proxy, node = held
    chance = random.Random(SEED)
    with node.native() as conn:
        waits = {conn.send("GET", STUCK + b"%d" % i, wait_ms=chance.randrange(1, 1600)): i for i in range(40)}
        patient = conn.send("GET", STUCK + b"patient", wait_ms=60_000)
        statuses = {conn.answer(request).status for request in waits}
        assert statuses == {"DEADLINE"}
        proxy.release("up")
        assert conn.answer(patient).status == "NIL"
        assert counted(node, "terrace_native_deadlines_total") >= 40


def counted(node, name):
    [line] = [line for line in node.admin("/metrics")[1].splitlines() if line.startswith(name + " ")]
    return float(line.split()[1])


def test_time_that_a_pause_took_counts(stage):
    """What is held when its client has given up is not begun."""
    node = stage.node()
    with node.native() as conn, node.wire() as other:
        assert conn.set("k", "before").status == "OK"
        other.ask("CLIENT", "PAUSE", "600000", "WRITE")
        late = conn.send("SET", "k", "too late", wait_ms=50)
        patient = conn.send("SET", "n", "in time", wait_ms=600_000)
        until(lambda: b"blocked_clients:1" in other.ask("INFO", "clients"), 15, "it is held")
        read_at = time.monotonic()
        until(lambda: time.monotonic() > read_at + 0.1, 15, "its time is over")
        other.ask("CLIENT", "UNPAUSE")
        assert conn.answer(late).status == "DEADLINE" and conn.answer(patient).status == "OK"
        assert conn.get("k").body == b"before" and conn.get("n").body == b"in time"


# --- many, and much ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [10_000])
def test_ten_thousand_requests_in_flight(slow, count):
    """Hits, misses, writes and several keys at once, on one connection; each is answered once, and right."""
    redis_server, proxy, node = slow
    proxy.heal()
    redis_server.client().flushall()
    node.wait_synced()
    redis_server.client().mset({f"m{i}": f"v{i}" for i in range(count)})
    with node.native(timeout_s=60) as conn:
        kinds = {}
        data = bytearray()
        for i in range(count):
            conn.last_id += 1
            kind = ("GET", "SET", "MGET", "CALL")[i % 4]
            keys = {"GET": f"m{i}", "SET": f"n{i}", "MGET": [f"m{i}", f"m{i - 1}"], "CALL": ["APPEND", f"a{i}", "x"]}[kind]
            data += native.request_frame(kind, conn.last_id, keys, b"new" if kind == "SET" else b"")
            kinds[conn.last_id] = (kind, i)
        sender = threading.Thread(target=conn.send_raw, args=(data,))
        sender.start()
        for request, (kind, i) in kinds.items():
            answers = conn.answers(request)
            assert all(answer.status == "OK" for answer in answers), (kind, i, answers)
            if kind == "GET":
                assert answers[0].body == b"v%d" % i
            if kind == "MGET":
                assert {answer.meta["index"]: answer.body for answer in answers} == {0: b"v%d" % i, 1: b"v%d" % (i - 1)}
        sender.join()


def test_answers_that_are_not_read_stop_the_reading_and_nothing_is_lost(stage):
    """Back-pressure, not memory: 100 MB of answers are asked for before one is read."""
    node = stage.node("--memory", "256mb")
    with node.native(timeout_s=60) as conn:
        conn.set("big", b"b" * 1_000_000)
        requests = [conn.send("GET", "big") for _ in range(100)]
        until(lambda: int(node.info()["native_clients"]) == 1, 15, "the node goes on")
        for request in requests:
            assert len(conn.answer(request).body) == 1_000_000


def test_a_large_value_takes_memory_as_it_comes(stage):
    """Announced is not allocated: 60 connections announce 512 MB each."""
    node = stage.node()
    conns = [node.native() for _ in range(60)]
    before = int(node.info()["used_memory"])
    for conn in conns:
        head = native.HEADER.pack(native.MAGIC, 1, native.OPS["SET"], 0, 1, 0, 1, 512 << 20, 0)
        conn.send_raw(head + b"k" + b"x" * 1000)
    until(lambda: int(node.info()["native_clients"]) == 60, 15, "all are here")
    assert int(node.info()["used_memory"]) - before < 32 << 20
    for conn in conns:
        conn.close()


@pytest.mark.parametrize("size", [5_000_000])
def test_a_value_larger_than_l1_keeps_goes_through_whole(slow, size):
    redis_server, proxy, node = slow
    proxy.heal()
    node.wait_synced()
    value = random.Random(SEED).randbytes(1000) * (size // 1000)
    with node.native(timeout_s=60) as conn:
        waiting = conn.send("SET", "large", value)
        assert conn.answer(waiting).status == "OK"
        assert redis_server.client().get("large") == value
        large, small = conn.send("GET", "large"), conn.send("GET", "none")
        assert conn.answer(small).status == "NIL"
        assert conn.answer(large).body == value
        assert conn.call("GET", "large").body[-size - 2:-2] == value
        assert conn.call("STRLEN", "large").body == b":%d\r\n" % size


def test_memory_of_a_large_answer_is_given_back(stage):
    """Of a key too long for L1, which is read past it."""
    redis_server = stage.redis()
    node = stage.node("--l2-timeout", "20s", "--l2-relay-timeout", "20s", l2=redis_server)
    node.wait_synced()
    key, size = b"k" * 70_000, 20 << 20
    redis_server.client().set(key, b"v" * size)
    with node.native(timeout_s=60) as conn:
        assert conn.get("none").status == "NIL"
        before = vm_rss_bytes(node.pid)
        answer = conn.get(key)
        assert answer.status == "OK" and len(answer.body) == size
        until(lambda: vm_rss_bytes(node.pid) - before < size // 2, 10, "what the value took is given back")


def test_the_words_around_a_large_value(slow, stage):
    """What stands in front of it and behind it is written apart; where the write carries its announcement, all of it together."""
    redis_server, proxy, node = slow
    proxy.heal()
    node.wait_synced()
    told = stage.node("--writers", "nodes", l2=redis_server)
    value = random.Random(SEED).randbytes(200_000)
    for one in (node, told):
        redis_server.client().flushall()
        one.wait_synced()
        with one.native(timeout_s=60) as conn:
            assert conn.set("k", value, px_ms=60_000, condition=1).status == "OK"
            assert conn.set("k", value, condition=1).status == "NIL"
            assert redis_server.client().get("k") == value and 0 < redis_server.client().pttl("k") <= 60_000
            assert conn.set("k", value[::-1]).status == "OK"
            assert conn.get("k").body == value[::-1] and redis_server.client().pttl("k") == -1


# --- the end ----------------------------------------------------------------------------------------------------------------


def test_a_node_that_ends_says_goodbye_and_answers_what_is_under_way(stage):
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node(l2=proxy.url)
        with node.native() as busy, node.native() as idle:
            busy.hello()
            idle.hello()
            proxy.hold("up", STUCK)
            waiting = busy.send("GET", STUCK)
            until(lambda: proxy.holds("up"), 15, "it is on its way")
            node.process.signal(signal.SIGTERM)
            while not busy.goodbye:
                busy.read()
            assert busy.goodbye.body == b"this node ends"
            assert busy.call("ECHO", "still").body == b"$5\r\nstill\r\n"
            proxy.release("up")
            assert busy.answer(waiting).status == "NIL"
            assert busy.closes_within(15) and idle.closes_within(15) and idle.goodbye
        assert node.process.wait(10) == 0


def test_a_client_that_is_told_goodbye_ends_the_wait_by_leaving(stage):
    node = stage.node()
    with node.native() as conn:
        conn.hello()
        node.process.signal(signal.SIGTERM)
        while not conn.goodbye:
            conn.read()
    assert node.process.wait(10) == 0


def test_what_is_sent_before_the_end_of_the_stream_is_answered(slow):
    _, _, node = slow
    with node.native() as conn:
        request = conn.send("GET", "miss")
        conn.sock.shutdown(socket.SHUT_WR)
        assert conn.answer(request).status == "NIL" and conn.closes_within(15)
