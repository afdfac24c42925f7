# SPDX-License-Identifier: BSD-3-Clause
"""Large values, alone: read from the socket straight into their items, and sent from there without a copy. Every byte comes
back, however requests are cut and whatever happens to the key meanwhile; and memory is what it was when all is over."""

import random
import re
import socket
import threading

import pytest

import wire
from harness import info_fields, until, vm_rss_bytes

pytestmark = pytest.mark.own
KB, MB = 1 << 10, 1 << 20
MEMORY = 64 * MB
BODY = 64 * KB  # LIMIT_BODY
PRESSED = 1 * MB  # LIMIT_OUTPUT_PRESSED
SIZES = [1, 100, 4 * KB, 4 * KB + 1, BODY - 1, BODY, BODY + 1, 100_000, 512 * KB, 1 * MB, 2 * MB + 1, 5 * MB, 16 * MB]


@pytest.fixture
def node(stage):
    return stage.node("--threads", "2", "--memory", "512mb")


@pytest.fixture
def small(stage):
    return stage.node("--threads", "1", "--memory", str(MEMORY))


def value(size, seed=0):
    return random.Random(size * 1000 + seed).randbytes(size)


def field(node, name):
    with node.wire() as conn:
        return int(info_fields(conn.ask("INFO", "memory"))[name])


def nothing_is_held(node):
    until(lambda: field(node, "mem_clients_normal") == 0, 20, "no answer and no body holds memory")


def send_in_pieces(conn, data, sizes):
    at = 0
    while at < len(data):
        size = next(sizes)
        conn.send(data[at:at + size])
        at += size


def slow_reader(node):
    """Its kernel takes little, and it reads when told to."""
    conn = wire.Wire.__new__(wire.Wire)
    conn.sock = socket.socket()
    conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KB)
    conn.sock.settimeout(60)
    conn.sock.connect(("127.0.0.1", node.port))
    conn.buffer, conn.at = bytearray(), 0
    return conn


# --- there and back ------------------------------------------------------------------------------------------------------------


def ways_to_set(key, data):
    return [
        (["SET", key, data], b"OK", -1),
        (["SET", key, data, "PX", "100000"], b"OK", 100),
        (["SET", key, data, "KEEPTTL"], b"OK", 100),
        (["SETEX", key, "200", data], b"OK", 200),
        (["PSETEX", key, "300000", data], b"OK", 300),
        (["GETSET", key, data], data, -1),
        (["SET", key, data, "XX", "GET", "EX", "50"], data, 50),
        (["SET", key, data, "NX"], None, 50),
        (["SETNX", key, data], 0, 50),
    ]


@pytest.mark.parametrize("size", SIZES)
def test_every_byte_comes_back(node, size):
    data = value(size)
    with node.wire(timeout_s=60) as conn:
        for command, answer, ttl in ways_to_set("k", data):
            replies = conn.pipeline([command, ["TTL", "k"], ["STRLEN", "k"], ["GET", "k"]])
            first = None if replies[0] is wire.NULL_BULK else replies[0]
            assert first == answer, command[0]
            assert replies[1] == ttl if ttl == -1 else ttl - 30 <= replies[1] <= ttl
            assert replies[2] == size and replies[3] == data
    nothing_is_held(node)


def test_requests_cut_anywhere(node):
    """The head of the value, and the words behind it, in every possible two pieces; and in many of any size."""
    data = value(BODY + 5000)
    request = wire.encode(["SET", "k", data, "EX", "100"]) + wire.encode(["GET", "k"])
    begins, ends = request.index(data), request.index(data) + len(data)
    random_sizes = random.Random(4)
    with node.wire() as conn:
        for cut in [*range(1, begins + 3), *range(begins + BODY // 32 - 2, begins + BODY // 32 + 3), *range(ends - 3, len(request))]:
            conn.send(request[:cut])
            conn.send(request[cut:])
            assert [conn.read(), conn.read()] == [b"OK", data], cut
        for longest in (7 * KB, 80 * KB):
            for _ in range(20):
                send_in_pieces(conn, request * 3, iter(lambda: random_sizes.randint(1, longest), None))
                assert [conn.read() for _ in range(6)] == [b"OK", data] * 3
    nothing_is_held(node)


def test_many_at_once_with_all_kinds_of_requests_between(node):
    """Six clients, each with a key of its own, one database each, and one that all of them overwrite."""
    def run(number, failures):
        try:
            draw = random.Random(number)
            with node.wire(timeout_s=60) as conn:
                for _ in range(12):
                    data = value(draw.choice([10, 5 * KB, 40 * KB, 200 * KB, 3 * MB]), number)
                    requests = [["SELECT", str(number)], ["SET", "own", data], ["PING"], ["GET", "own"],
                                ["SELECT", "0"], ["SET", "shared", data], ["STRLEN", "shared"]]
                    writer = threading.Thread(target=conn.send, args=[b"".join(map(wire.encode, requests))])
                    writer.start()
                    replies = [conn.read() for _ in requests]
                    writer.join()
                    assert replies[:6] == [b"OK", b"OK", b"PONG", data, b"OK", b"OK"]
        except BaseException as error:
            failures.append(error)

    failures = []
    threads = [threading.Thread(target=run, args=[number, failures]) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    nothing_is_held(node)


def test_a_value_that_waits_for_the_end_of_a_pause(node):
    data = value(300 * KB)
    request = wire.encode(["SET", "k", data]) + wire.encode(["GET", "k"])
    with node.wire() as conn, node.wire() as other:
        conn.send(request[:100 * KB])
        until(lambda: field(node, "mem_clients_normal") > 0, 5, "it is being received")
        other.ask("CLIENT", "PAUSE", "20000", "WRITE")
        conn.send(request[100 * KB:])
        until(lambda: "qbuf=%d " % len(request) in other.ask("CLIENT", "LIST").decode(), 5, "all of it is here, and waits")
        assert other.ask("EXISTS", "k") == 0
        other.ask("CLIENT", "UNPAUSE")
        assert [conn.read(), conn.read()] == [b"OK", data]
    nothing_is_held(node)


def test_a_large_set_is_timed_by_itself(node):
    """As one that came through the buffer is: what it takes is not told of the small commands of its batch."""
    request = wire.encode(["SET", "k", value(16 * MB)])
    reads = 100
    with node.wire(timeout_s=60) as conn:
        def share_of_a_read():
            conn.ask("CONFIG", "RESETSTAT")
            conn.send(request[:-100])
            until(lambda: field(node, "mem_clients_normal") == 16 * MB, 10, "it is being received")
            conn.send(request[-100:] + wire.encode(["GET", "none"]) * reads)
            assert [conn.read() for _ in range(1 + reads)] == [b"OK"] + [wire.NULL_BULK] * reads
            stats = info_fields(conn.ask("INFO", "commandstats"))
            set_usec, get_usec = (float(re.search(r"usec_per_call=([\d.]+)", stats[f"cmdstat_{name}"])[1]) for name in ("set", "get"))
            return get_usec / set_usec
        conn.ask(*["SET", "k", value(16 * MB)])
        assert min(share_of_a_read() for _ in range(5)) < 0.3


# --- what becomes of the key meanwhile ---------------------------------------------------------------------------------------------


CHANGES = {
    "overwritten": [["SET", "k", "other"]],
    "overwritten by a large value": [["SET", "k", b"o" * 16 * MB]],
    "appended to": [["APPEND", "k", b"o" * 100]],
    "written into": [["SETRANGE", "k", "5", b"o" * 100]],
    "deleted": [["DEL", "k"]],
    "renamed": [["RENAME", "k", "l"], ["SETRANGE", "l", "0", "o"]],
    "expired": [["PEXPIRE", "k", "-1"]],
    "flushed": [["FLUSHALL"]],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_value_that_is_sent_stays_what_it_was(node, change):
    data = value(16 * MB)
    with node.wire(timeout_s=60) as conn, slow_reader(node) as slow:
        conn.ask("SET", "k", data)
        slow.send(wire.encode(["GET", "k"]) * 2)
        until(lambda: field(node, "mem_clients_normal") >= 16 * MB, 10, "the answers are under way")
        for command in CHANGES[change]:
            assert not isinstance(conn.ask(*command), wire.Error)
        assert [slow.read(), slow.read()] == [data, data]
        conn.ask("FLUSHALL")
    nothing_is_held(node)
    until(lambda: field(node, "used_memory") < 4 * MB, 20, "and its memory is free")


def test_what_is_evicted_while_it_is_sent_counts_until_it_has_gone(small):
    data = value(8 * MB)
    with small.wire(timeout_s=60) as conn, slow_reader(small) as slow:
        conn.ask("SET", "k", data)
        slow.send(wire.encode(["GET", "k"]))
        until(lambda: field(small, "mem_clients_normal") >= len(data), 10, "the answer is under way")
        for i in range(300):
            conn.ask("SET", f"other:{i}", value(500 * KB, i))
        assert conn.ask("EXISTS", "k") == 0
        assert len(data) < field(small, "used_memory") <= MEMORY + 2 * MB
        assert slow.read() == data
    nothing_is_held(small)


def test_slow_readers_hold_a_quarter_of_the_memory_and_little_each(small):
    """What they hold L1 cannot use: so a client that is late gets one answer at a time instead of 64 MB of them."""
    data = value(1 * MB)
    readers = [slow_reader(small) for _ in range(12)]
    with small.wire() as conn:
        conn.ask("SET", "k", data)
        for reader in readers:
            reader.send(wire.encode(["GET", "k"]) * 30)
        until(lambda: field(small, "mem_clients_normal") > MEMORY // 4, 20, "they hold as much as they may")
        most = MEMORY // 4 + len(readers) * (PRESSED + 2 * len(data))
        for _ in range(50):
            assert field(small, "mem_clients_normal") <= most
    for reader in readers:
        assert [reader.read() for _ in range(30)] == [data] * 30
        reader.close()
    nothing_is_held(small)


# --- clients that leave ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["closes", "is killed", "is reset"])
def test_what_a_client_leaves_behind(node, how):
    """Answers that it did not read, and a value that it did not finish."""
    data = value(16 * MB)
    with node.wire(timeout_s=60) as conn:
        conn.ask("SET", "k", data)
        for request in (wire.encode(["GET", "k"]) * 3, wire.encode(["SET", "k", data])[:5 * MB]):
            with slow_reader(node) as slow:
                client_id = slow.sock.sendall(wire.encode(["CLIENT", "ID"])) or slow.read()
                slow.send(request)
                until(lambda: field(node, "mem_clients_normal") >= 16 * MB, 10, "it is under way")
                if how == "is killed":
                    assert conn.ask("CLIENT", "KILL", "ID", str(client_id)) == 1
                elif how == "is reset":
                    slow.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            nothing_is_held(node)
        assert conn.ask("GET", "k") == data
        conn.ask("FLUSHALL")
    until(lambda: field(node, "used_memory") < 4 * MB, 20, "and its memory is free")


def test_announcements_cost_little(small):
    """512 MB each, and some first bytes; then the most that a body may announce at once."""
    for size in (512 * MB, MEMORY // 8):
        before = vm_rss_bytes(small.pid)
        clients = [small.wire() for _ in range(50)]
        with small.wire() as conn:
            conn.ask("SET", "k", "v")
            for client in clients:
                client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$%d\r\n" % size + b"b" * 1000)
            assert conn.ask("GET", "k") == b"v"
            assert vm_rss_bytes(small.pid) - before < 10 * MB
            assert field(small, "used_memory") < 4 * MB
            for client in clients:
                client.close()
        nothing_is_held(small)


def test_bodies_take_no_more_than_a_quarter_of_the_memory(small):
    """Others come through the buffer, as all did before, and everything is stored."""
    data = value(6 * MB)
    request = wire.encode(["SET", "k", data])
    clients = [small.wire(timeout_s=60) for _ in range(8)]
    for client in clients:
        client.send(request[:1 * MB])
    until(lambda: field(small, "mem_clients_normal") == 2 * len(data), 10, "two of them fit")
    for client in clients:
        client.send(request[1 * MB:])
        assert client.read() == b"OK" and client.ask("GET", "k") == data
        client.close()
    nothing_is_held(small)


def test_more_than_memory_allows_is_refused_when_it_is_there(small):
    with small.wire(timeout_s=60) as conn:
        answer = conn.ask("SET", "k", b"x" * (MEMORY + MB))
        assert isinstance(answer, wire.Error) and answer.startswith(b"OOM")
        assert conn.ask("SET", "k", "v") == b"OK" and conn.ask("GET", "k") == b"v"
        conn.send(b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$%d\r\n" % (512 * MB + 1))
        assert conn.read() == b"ERR Protocol error: invalid bulk length"
        assert conn.closes_within(15)


def test_a_policy_that_refuses_keeps_no_room_for_what_would_not_fit(stage):
    """Some first bytes of a value that is too large for what is left: writes of others go on, and it is refused in the end."""
    node = stage.node("--threads", "1", "--memory", str(MEMORY), "--policy", "noeviction")
    data = value(15 * MB)
    request = wire.encode(["SET", "large", data])
    with node.wire(timeout_s=60) as conn, node.wire(timeout_s=60) as other:
        for i in range(104):
            assert conn.ask("SET", f"k:{i}", b"x" * 500 * KB) == b"OK"
        other.send(request[:1 * MB])
        until(lambda: "qbuf=%d " % MB in conn.ask("CLIENT", "LIST").decode(), 10, "that is read")
        assert field(node, "used_memory") <= MEMORY
        assert conn.ask("SET", "small", "v") == b"OK"
        assert conn.ask("SET", "k:1", b"y" * 500 * KB) == b"OK"
        other.send(request[1 * MB:])
        answer = other.read()
        assert isinstance(answer, wire.Error) and answer.startswith(b"OOM")
        assert conn.ask("DEL", *(f"k:{i}" for i in range(40))) == 40
        other.send(request[:1 * MB])
        until(lambda: field(node, "mem_clients_normal") == len(data), 10, "now there is room")
        other.send(request[1 * MB:])
        assert other.read() == b"OK" and conn.ask("GET", "large") == data
        assert conn.ask("EXISTS", *(f"k:{i}" for i in range(40, 104))) == 64
    nothing_is_held(node)


def test_a_namespace_is_not_emptied_for_a_value_larger_than_itself(stage):
    config = stage.folder / "namespaces.conf"
    config.write_text("[namespace little]\nprefix = little:\nmemory = 8mb\n")
    node = stage.node(str(config), "--threads", "1", "--memory", str(MEMORY))
    data = value(12 * MB)
    request = wire.encode(["SET", "little:large", data])
    with node.wire(timeout_s=60) as conn, node.wire(timeout_s=60) as other:
        assert conn.ask("SET", "little:k", "v") == b"OK"
        other.send(request[:1 * MB])
        until(lambda: "qbuf=%d " % MB in conn.ask("CLIENT", "LIST").decode(), 10, "that is read")
        assert conn.ask("GET", "little:k") == b"v"
        other.send(request[1 * MB:])
        answer = other.read()
        assert isinstance(answer, wire.Error) and answer.startswith(b"OOM")
        assert conn.ask("GET", "little:k") == b"v"
        assert other.ask("SET", "little:fits", data[:1 * MB]) == b"OK"


# --- requests that are wrong, or wait ---------------------------------------------------------------------------------------------


def test_a_value_that_does_not_end_where_it_should(node):
    data = value(300 * KB)
    with node.wire() as conn:
        conn.send(wire.encode(["SET", "k", data])[:100 * KB])
        until(lambda: field(node, "mem_clients_normal") > 0, 5, "it is being received")
        conn.send(wire.encode(["SET", "k", data])[100 * KB:-2] + b"XY")
        assert conn.read() == b"ERR Protocol error: expected CRLF after bulk"
        assert conn.closes_within(15)
    with node.wire() as conn:
        assert conn.ask("EXISTS", "k") == 0
    nothing_is_held(node)


def test_a_value_behind_a_call_that_holds_the_connection(node):
    data = value(300 * KB)
    request = wire.encode(["SET", "k", data]) + wire.encode(["GET", "k"])
    with node.wire() as conn:
        for cut in (10, 40, 50 * KB, 150 * KB):
            conn.send(wire.encode(["CLIENT", "LIST"]) + request[:cut])
            assert b"cmd=client|list" in conn.read()
            conn.send(request[cut:])
            assert [conn.read(), conn.read()] == [b"OK", data]
    nothing_is_held(node)


def test_a_client_that_sends_no_more_in_the_middle_of_a_value(node):
    with node.wire() as conn:
        conn.send(wire.encode(["SET", "k", value(300 * KB)])[:150 * KB])
        until(lambda: field(node, "mem_clients_normal") > 0, 5, "it is being received")
        conn.sock.shutdown(socket.SHUT_WR)
        assert conn.closes_within(15)
    nothing_is_held(node)


def test_keys_long_and_too_long(node):
    data = value(300 * KB)
    with node.wire() as conn:
        assert conn.ask("SET", "k" * 3000, data) == b"OK" and conn.ask("GET", "k" * 3000) == data
        assert conn.ask("SET", "k" * 70000, data) == b"ERR key exceeds maximum allowed size of 65535 bytes"
    nothing_is_held(node)
