# SPDX-License-Identifier: BSD-3-Clause
"""Large values with an L2: what L1 would not keep passes in pieces. Every byte comes, memory stays what it was however large
the value and however slow who reads or writes it, and what is killed in the middle leaves the old value or the new."""

import hashlib
import re
import socket
import time

import pytest

import wire
from envelopes import seal
from harness import slow_under_sanitizers, until
from proxy import FaultProxy

pytestmark = pytest.mark.own
KB, MB = 1 << 10, 1 << 20
LARGE = 48 * MB
ROOM = 16 * MB  # beyond what a node took before


def bytes_of(size, seed=b"s"):
    """Quickly, and nowhere the same megabyte twice."""
    part = hashlib.shake_256(seed).digest(MB)
    return b"".join(b"%08d" % i + part[8:] for i in range(size // MB)) + part[:size % MB]


def memory(node, name="VmHWM"):
    with open(f"/proc/{node.pid}/status", encoding="ascii") as file:
        return int(re.search(rf"{name}:\s+(\d+) kB", file.read()).group(1)) * KB


def counted(node, what):
    name = f'terrace_large_values_total{{what="{what}"}}'
    line = next(line for line in node.admin("/metrics")[1].splitlines() if line.startswith(name))
    return int(float(line.split()[-1]))


def lines_in_use(node):
    return int(node.info("l2")["l2_lines_streaming"])


def nothing_under_way(node):
    until(lambda: lines_in_use(node) == 0, 10, "no value is on its way")


@pytest.fixture(scope="module")
def small(module_stage, redis_server):
    """32 MB of L1: nothing above 8 is kept."""
    return module_stage.node("--threads", "2", "--memory", "32mb", l2=redis_server)


@pytest.fixture(scope="module")
def large(redis_server):
    data = bytes_of(LARGE)
    with redis_server.wire(timeout_s=60) as conn:
        assert conn.ask("SET", "large", data) == b"OK"
    return data


class Reader:
    """Sends one request and reads a bulk as fast as it is told to, comparing it with what it should be."""

    def __init__(self, server, data, *words, buffer=None):
        self.data = memoryview(data)
        self.sock = socket.socket()
        if buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.sock.settimeout(60)
        self.sock.connect(("127.0.0.1", server.port))
        self.ask(*(words or ("GET", "large")))

    def ask(self, *words):
        self.sock.sendall(wire.encode(words))
        self.got = None
        return self

    def head(self):
        head = b""
        while not head.endswith(b"\r\n"):
            part = self.sock.recv(1)
            if not part:
                raise ConnectionError("no head")
            head += part
        assert head == b"$%d\r\n" % len(self.data)
        self.got = 0
        return self

    def read(self, most=None):
        """`most` bytes more, or all there are."""
        if self.got is None:
            self.head()
        end = len(self.data) if most is None else min(len(self.data), self.got + most)
        while self.got < end:
            part = self.sock.recv(min(MB, end - self.got))
            if not part:
                raise ConnectionError(f"{self.got} of {len(self.data)}")
            assert self.data[self.got:self.got + len(part)] == part, f"at {self.got}"
            self.got += len(part)
        if end == len(self.data):
            assert self.sock.recv(2, socket.MSG_WAITALL) == b"\r\n"
        return self

    def close(self):
        self.sock.close()


def warm(node):
    with node.wire() as conn:
        conn.ask("SET", "warm up", "x")
        until(lambda: conn.ask("GET", "warm up") == b"x", 5)


# --- reading -----------------------------------------------------------------------------------------------------------------


def test_a_value_larger_than_l1_is_read_in_little_memory(small, large):
    warm(small)
    before, found, read = memory(small), counted(small, "found"), counted(small, "read")
    reader = Reader(small, large).read()
    reader.ask("GET", "large").read().close()
    assert memory(small) - before < ROOM
    assert (counted(small, "found") - found, counted(small, "read") - read) == (1, 2), "the second one asked on a line at once"
    nothing_under_way(small)


def test_who_reads_slowly_holds_up_nobody(small, large):
    warm(small)
    before = memory(small)
    slow = Reader(small, large, buffer=64 * KB).read(MB)
    with small.wire() as conn:
        took = []
        for i in range(100):
            began = time.monotonic()
            conn.ask("SET", f"small {i}", "v")
            assert conn.ask("GET", f"small {i}") == b"v"
            took.append(time.monotonic() - began)
    Reader(small, large).read().close()
    assert sorted(took)[90] < 0.5, "ten times what a busy machine needs"
    slow.read().close()
    assert memory(small) - before < ROOM
    nothing_under_way(small)


def test_a_reader_who_leaves_in_the_middle_gives_his_connection_back(small, large):
    clients = small.client().info("clients")["connected_clients"]
    for _ in range(5):
        Reader(small, large).read(3 * MB).close()
    nothing_under_way(small)
    until(lambda: small.client().info("clients")["connected_clients"] <= clients, 10, "they are gone")


@slow_under_sanitizers
def test_more_readers_than_there_are_seats(module_stage, redis_server):
    """Sixteen of one worker at once; the others wait for their turn."""
    data = bytes_of(9 * MB)
    node = module_stage.node("--threads", "1", "--memory", "32mb", "--l2-timeout", "60s", l2=redis_server)
    with redis_server.wire() as conn:
        conn.ask("SET", "seats", data)
    warm(node)
    before = memory(node)
    readers = [Reader(node, data, "GET", "seats", buffer=64 * KB) for _ in range(20)]
    until(lambda: lines_in_use(node) == 16, 10, "all seats are taken")
    for reader in readers[:3]:
        reader.read(MB).close()
    for reader in readers[3:]:
        reader.read().close()
    nothing_under_way(node)
    assert memory(node) - before < 2 * ROOM


def test_who_waits_in_redis_and_who_writes_leave_room_for_reads(module_stage, redis_server):
    """Blocked clients have all of the pool, and each connection's write waits for the read in front of it."""
    data = bytes_of(9 * MB)
    node = module_stage.node("--threads", "1", "--memory", "32mb", "--l2-pool-max", "1", l2=redis_server)
    with redis_server.wire() as conn:
        conn.ask("SET", "beside", data)
    warm(node)
    with node.wire() as blocked:
        blocked.send(wire.encode(["BLPOP", "nothing comes", "0"]))
        until(lambda: node.info("l2")["l2_lines_used"] == "1", 10, "the pool is used up")
        readers = [Reader(node, data, "GET", "beside", buffer=64 * KB) for _ in range(16)]
        until(lambda: lines_in_use(node) == 16, 10, "all seats for reads are taken")
        with node.wire() as mixed:
            mixed.send(wire.encode(["GET", "beside"]) + wire.encode(["SET", "beside too", data]) + wire.encode(["GET", "beside too"]))
            for reader in readers:
                reader.read().close()
            assert [mixed.read() for _ in range(3)] == [data, b"OK", data]
    nothing_under_way(node)


@pytest.mark.parametrize("mode", ["bounded 20ms", "strict"])
def test_what_may_be_shown_is_known_before_its_first_byte(stage, redis_server, large, mode):
    """A proof of 20 ms is too old when Redis has made its reply; strict values wait for all nodes."""
    nodes = [stage.node("--threads", "1", "--memory", "32mb", "--mode", mode, l2=redis_server) for _ in range(2)]
    for node in nodes:
        until(lambda node=node: node.client().get("no such key") is None, 5)
        for _ in range(2):
            Reader(node, large).read().close()
        assert counted(node, "read") == 2
        nothing_under_way(node)


def test_redis_that_is_lost_in_the_middle_closes_the_client(stage):
    data = bytes_of(32 * MB)
    server = stage.redis()
    node = stage.node("--threads", "1", "--memory", "32mb", l2=server)
    with server.wire() as conn:
        conn.ask("SET", "large", data)
    reader = Reader(node, data, buffer=64 * KB).read(MB)
    server.process.kill()
    with pytest.raises(ConnectionError):
        reader.read()
    until(lambda: counted(node, "cut") == 1, 5)
    nothing_under_way(node)
    with node.wire() as conn:
        assert conn.ask("GET", "large").startswith(b"L2DOWN")


def test_order_within_a_connection(small, redis_server):
    """What is asked behind a large value is answered behind it, and runs behind it."""
    data = bytes_of(9 * MB)
    for known in (False, True):
        with redis_server.wire() as conn:
            conn.ask("SET", "ordered", data)
            conn.ask("SET", "other", "o")
        with small.wire(timeout_s=60) as conn:
            if known:
                assert conn.ask("GET", "ordered") == data
            replies = conn.pipeline([["SET", "before", "1"], ["GET", "ordered"], ["GET", "other"], ["STRLEN", "ordered"], ["GET", "ordered"],
                                     ["SET", "ordered", "small"], ["GET", "ordered"], ["GETRANGE", "ordered", "0", "1"]])
        assert [len(reply) if isinstance(reply, bytes) else reply for reply in replies] == [2, len(data), 1, len(data), len(data), 2, 5, 2]
        assert replies[1] == replies[4] == data and replies[6] == b"small"


@pytest.mark.parametrize("words", [["GET", "passed"], ["STRLEN", "passed"]])
def test_a_write_that_comes_while_a_value_is_passed_over(stage, redis_server, words):
    """Its fence is closed, so that it is asked for anew when all of it has passed. The write has to wait."""
    data = bytes_of(9 * MB)
    with redis_server.wire(timeout_s=60) as direct:
        direct.ask("SET", "passed", data)
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        # Cold: of the hot list that the others left it would read large values in front of this one.
        node = stage.node("--threads", "1", "--memory", "32mb", "--mode", "bounded 20ms", "--warm-rate", "0", l2=proxy.url)

        def kept():
            return int(next(line for line in node.admin("/metrics")[1].splitlines() if line.startswith("terrace_l2_replies_kept_total")).split()[-1])

        warm(node)
        proxy.delay(60, "down", who="plain")
        proxy.rate(20 * MB, "down", who="plain")
        with node.wire(timeout_s=60) as conn, node.wire() as other:
            before = kept()
            conn.send(wire.encode(words))
            until(lambda: kept() - before == 2, 10, "its PTTL, and its head")
            conn.send(wire.encode(["SET", "passed", "small"]))
            for _ in range(5):  # turns of the loop
                assert other.ask("PING") == b"PONG"
            assert [conn.read(), conn.read()] == [data if words[0] == "GET" else len(data), b"OK"]
            assert conn.ask(*words) == (b"small" if words[0] == "GET" else 5)


def test_a_client_that_reads_when_all_is_sent(small, redis_server):
    """A write waits behind the value, and what is sent behind the write is more than sockets hold."""
    data = bytes_of(24 * MB)
    with redis_server.wire(timeout_s=60) as direct, small.wire(timeout_s=10) as conn:
        direct.ask("SET", "first", data)
        assert len(conn.ask("GET", "first")) == len(data)
        replies = conn.pipeline([["GET", "first"], ["SET", "second", "small"], ["SET", "third", data]])
        assert replies == [data, b"OK", b"OK"]
    nothing_under_way(small)


def test_what_a_large_value_becomes(small, redis_server):
    data = bytes_of(9 * MB, b"b")
    with redis_server.wire(timeout_s=60) as direct, small.wire(timeout_s=60) as conn:
        direct.ask("SELECT", "3")
        conn.ask("SELECT", "3")
        for change in (["DEL", "turns"], ["SET", "turns", "small"], ["EVAL", "redis.call('DEL', KEYS[1]) return redis.call('RPUSH', KEYS[1], 1)", "1", "turns"]):
            direct.ask("SET", "turns", data)
            assert conn.ask("GET", "turns") == data
            assert conn.ask("GET", "turns") == data
            direct.ask(*change)
            assert until(lambda: conn.ask_raw("GET", "turns") == direct.ask_raw("GET", "turns"), 5) is not False
        direct.ask("DEL", "turns")
        direct.ask("SET", "turns", data)
        assert conn.ask("STRLEN", "turns") == len(data)
        assert conn.ask("GETRANGE", "turns", "1000000", "1000009") == data[1000000:1000010]
        assert conn.ask("SUBSTR", "turns", "-3", "-1") == data[-3:]
        assert conn.ask("MGET", "turns", "no such", "turns") == [data, wire.NULL_BULK, data]
        assert conn.ask("EXISTS", "turns") == 1


def test_a_value_that_shrinks_to_what_l1_keeps_is_kept(small, redis_server):
    with redis_server.wire(timeout_s=60) as direct, small.wire(timeout_s=60) as conn:
        direct.ask("SET", "shrinks", bytes_of(9 * MB))
        assert len(conn.ask("GET", "shrinks")) == 9 * MB
        direct.ask("SET", "shrinks", bytes_of(3 * MB))
        until(lambda: len(conn.ask("GET", "shrinks")) == 3 * MB, 5)
        conn.ask("GET", "shrinks")
        read = counted(small, "read")
        assert len(conn.ask("GET", "shrinks")) == 3 * MB and counted(small, "read") == read, "from L1"


def test_what_nobody_wants_is_not_fetched(small, large):
    read = counted(small, "read")
    with small.wire(timeout_s=60) as conn:
        conn.send(wire.encode(["CLIENT", "REPLY", "SKIP"]) + wire.encode(["GET", "large"]) + wire.encode(["PING"]))
        assert conn.read() == b"PONG"
    assert counted(small, "read") == read


def test_an_invalidation_stands_behind_the_value(small, large):
    """RESP3 puts pushes between answers, not into one."""
    with small.wire(proto=3, timeout_s=60) as conn, small.wire() as other:
        assert conn.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "pushed") == b"OK"
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KB)
        conn.send(wire.encode(["GET", "large"]))
        until(lambda: lines_in_use(small) == 1, 10)
        for i in range(10):
            other.ask("SET", f"pushed {i}", "v")
        replies = [conn.read()]
        while replies[-1] != large:
            replies.append(conn.read())
        pushed = set()
        while len(pushed) < 10:
            reply = replies.pop(0) if replies else conn.read()
            if reply != large:
                pushed.update(reply[1] if isinstance(reply, list) else reply.value[1])


def test_messages_that_wait_behind_a_value_are_limited(small, large):
    def closed():
        return int(next(line for line in small.admin("/metrics")[1].splitlines() if line.startswith("terrace_output_limit_closed_total")).split()[-1])

    before, read = closed(), counted(small, "read")
    with small.wire(proto=3, timeout_s=60) as conn, small.wire(timeout_s=60) as other:
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KB)
        conn.send(wire.encode(["SUBSCRIBE", "news"]))
        conn.read()
        conn.send(wire.encode(["GET", "large"]))
        until(lambda: counted(small, "read") > read, 10)
        for _ in range(40):  # client-output-buffer-limit: 32 MB
            other.ask("PUBLISH", "news", b"x" * MB)
        until(lambda: closed() > before, 5)
    nothing_under_way(small)


# --- managed values ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def managed(module_stage, redis_server):
    path = module_stage.folder / "managed.conf"
    path.write_text("[namespace pages]\nprefix = m:\nformat = managed\nmemory = 24mb\nhard-timeout = 300ms\n")
    return module_stage.node(str(path), "--threads", "2", "--memory", "32mb", l2=redis_server)


def put(server, key, value, **more):
    server.client().set(key, seal(value, **more), px=more.get("fresh_ms", 0) + more.get("swr_ms", 0) or None)


def test_a_managed_value_is_read_in_little_memory_and_judged_as_any(managed, redis_server):
    data = bytes_of(LARGE, b"m")
    redis_server.client().set("m:foreign", data)  # no envelope: any invalidation would end it
    for _ in range(2):
        Reader(managed, data, "GET", "m:foreign").read().close()
    put(redis_server, "m:large", data, version=1, fresh_ms=600000, swr_ms=60000, tags=["red", "green"])
    warm(managed)
    before, found, read = memory(managed), counted(managed, "found"), counted(managed, "read")
    for _ in range(3):
        Reader(managed, data, "GET", "m:large").read().close()
    assert memory(managed) - before < ROOM
    assert (counted(managed, "found") - found, counted(managed, "read") - read) == (1, 3), "its worth stays in L1"
    with managed.wire(timeout_s=60) as conn:
        assert conn.ask("STRLEN", "m:large") == LARGE
        assert 500000 < conn.ask("PTTL", "m:large") <= 600000
        assert conn.ask("TYPE", "m:large") == b"string"
        conn.ask("CACHE.INVALIDATE", "TAG", "red")
        assert conn.ask("GET", "m:large") == wire.NULL_BULK, "he is to load it"
    nothing_under_way(managed)


def test_a_managed_value_that_is_another_when_it_is_read(managed, redis_server):
    """What L1 knows of it is of the former one."""
    for i, size in enumerate([9 * MB, 9 * MB, 10 * MB, 100, 9 * MB]):
        data = bytes_of(size, b"%d" % i)
        put(redis_server, "m:turns", data, version=10 + i)
        with managed.wire(timeout_s=60) as conn:
            until(lambda: conn.ask("GET", "m:turns") == data, 10, f"the value number {i}")
            assert conn.ask("GET", "m:turns") == data
            assert conn.ask("MGET", "m:turns", "m:turns") == [data, data]
            assert conn.ask("CACHE.FETCH", "m:turns")[1] == data
            assert conn.ask("GET", "m:turns") == data


@slow_under_sanitizers
def test_a_managed_value_whose_checksum_is_wrong_is_cut_off_and_then_nothing(managed, redis_server):
    data = bytes_of(9 * MB, b"c")
    whole = bytearray(seal(data, version=3))
    whole[5 * MB] ^= 1
    redis_server.client().set("m:broken", bytes(whole))
    reader = Reader(managed, data, "GET", "m:broken").read(4 * MB)
    with pytest.raises((ConnectionError, AssertionError)):
        reader.read()
    reader.close()
    with managed.wire(timeout_s=60) as conn:
        assert conn.ask("GET", "m:broken") == wire.NULL_BULK
        assert conn.ask("SET", "m:broken", "whole") == b"OK"
        assert conn.ask("GET", "m:broken") == b"whole"
    nothing_under_way(managed)


def test_while_the_bus_is_silent_l2_says_what_a_large_value_is_worth(stage, redis_server):
    data = bytes_of(9 * MB, b"q")
    path = stage.folder / "managed.conf"
    path.write_text("[namespace pages]\nprefix = m:\nformat = managed\nmemory = 24mb\nhard-timeout = 300ms\n")
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node(str(path), "--threads", "1", "--memory", "32mb", l2=proxy.url)
        put(redis_server, "m:quiet", data, version=1 << 40, tags=["calm"])
        proxy.freeze("down", who="bus")
        until(lambda: node.coherence_state() != "SYNCED", 10, "nothing is heard")
        Reader(node, data, "GET", "m:quiet").read().close()
        nothing_under_way(node)
