# SPDX-License-Identifier: BSD-3-Clause
"""Large values of managed namespaces, written: SET and its kin go on to Redis as they come, in the envelope that any write would
have made but for compression; the script that writes them runs when it has all."""

import pytest

import envelopes
import wire
from harness import slow_under_sanitizers, stand_still, until, vm_rss_bytes
from test_large_streamed import LARGE, MB, ROOM, bytes_of, counted, memory, nothing_under_way, warm
from test_large_written import begin, fill, streams

pytestmark = pytest.mark.own
DATA = bytes_of(3 * MB)
SMALL = bytes(range(100))
CONFIG = """[namespace pages]
prefix = m:
format = managed
memory = 8mb
ttl = 1h
swr = 10s
[namespace around]
prefix = a:
format = managed
memory = 8mb
write = around
"""


def start(stage, l2, *flags):
    path = stage.folder / "large.conf"
    path.write_text(CONFIG)
    return stage.node(str(path), "--threads", "1", "--memory", "32mb", *flags, l2=l2)


@pytest.fixture(scope="module")
def managed(module_stage, redis_server):
    return start(module_stage, redis_server)


def in_redis(server, key):
    return envelopes.unseal(server.client().get(key))


def test_it_is_written_in_little_memory_in_the_envelope_of_any_write(managed, redis_server):
    data = bytes_of(LARGE)
    warm(managed)
    before, written = memory(managed), counted(managed, "written")
    with managed.wire(timeout_s=60) as conn:
        small = conn.ask("SET", "m:small", "v", "EX", "100")
        assert conn.ask("SET", "m:large", data, "EX", "100") == small == b"OK"
        one, other = in_redis(redis_server, "m:small"), in_redis(redis_server, "m:large")
        assert other.body == data and other.version > one.version and other.kind == envelopes.RAW
        assert other._replace(body=b"", value_size=0, version=0) == one._replace(body=b"", value_size=0, version=0, kind=envelopes.RAW)
        assert abs(redis_server.client().pttl("m:large") - redis_server.client().pttl("m:small")) < 20000
        assert conn.ask("GET", "m:large") == data
        assert conn.ask("TTL", "m:large") in range(80, 101)
    assert memory(managed) - before < ROOM
    assert counted(managed, "written") - written == 1
    nothing_under_way(managed)


def test_the_whole_family_answers_as_for_small_values(managed, redis_server):
    written = counted(managed, "written")
    calls = [["SETNX", 0], ["SETNX", 1], ["SET", 2, "NX"], ["SET", 3, "XX", "KEEPTTL"], ["SET", 4, "EX", "0"], ["SET", 5, "SOON"], ["SET", 5, "EX", "5", "NX", "XX"],
             ["SETEX", "1000", 6], ["PSETEX", "1000000", 7], ["SETEX", "-1", 8], ["SET", 9, "PX", "100000"], ["CACHE.SET", 10], ["CACHE.SET", 11, "TAGS", "1", "red"],
             ["CACHE.SET", 12, "PX", "5000"], ["DEL"], ["SET", 13, "XX"], ["SET", 14, "NX"]]
    for proto in (2, 3):
        with managed.wire(proto, timeout_s=60) as conn:
            for call in calls:
                told = []
                for key, value in (("m:f", DATA), ("m:g", SMALL)):
                    told.append(conn.ask_raw(call[0], key, *[value[word:] if isinstance(word, int) else word for word in call[1:]]))
                    if call[0] == "CACHE.SET":
                        assert int(told.pop()[1:]) == in_redis(redis_server, key).version
                assert len(set(told)) <= 1, (call, told[0][:80])
                stand = [conn.ask("GET", key) for key in ("m:f", "m:g")]
                missing = [value in (None, wire.NULL_BULK) for value in stand]
                assert missing in ([True, True], [False, False]), call
                if not missing[0]:
                    assert stand[0] == DATA[len(DATA) - len(stand[0]):]
                    assert len(DATA) - len(stand[0]) == len(SMALL) - len(stand[1]), call
            assert conn.ask("SET", "m:f", DATA, "GET") == DATA[14:]
            assert conn.ask("GETSET", "m:f", DATA[1:]) == DATA
            assert conn.ask("GET", "m:f") == DATA[1:]
            conn.ask("DEL", "m:f", "m:g")
    assert counted(managed, "written") - written > 10
    nothing_under_way(managed)


def test_order_and_those_beside_it(managed):
    with managed.wire(timeout_s=60) as conn, managed.wire() as other:
        replies = conn.pipeline([["SET", "m:o", "1"], ["GET", "m:o"], ["SET", "m:o", DATA], ["GET", "m:o"], ["STRLEN", "m:o"], ["SET", "m:o", DATA[1:], "XX"],
                                 ["GET", "m:o"], ["SET", "m:o", "small"], ["GET", "m:o"]])
        assert replies == [b"OK", b"1", b"OK", DATA, len(DATA), b"OK", DATA[1:], b"OK", b"small"]
        writer = begin(managed, words=("SET", "m:o"))
        streams(managed)
        assert other.ask("GET", "m:o") == b"small"
        assert other.ask("SET", "m:beside", "v") == b"OK"
        writer.send(writer.rest)
        assert writer.read() == b"OK"
        assert other.ask("GET", "m:o") == DATA
        writer.close()


def test_who_is_lost_in_the_middle_wrote_nothing(managed, redis_server):
    with managed.wire() as conn:
        conn.ask("SET", "m:k", "old")
        for share in (2, 1):
            client = begin(managed, share=share, words=("SET", "m:k"))
            streams(managed)
            client.close()
            nothing_under_way(managed)
        assert conn.ask("GET", "m:k") == b"old"
    assert in_redis(redis_server, "m:k").body == b"old"


def test_redis_that_is_lost_or_begins_anew_in_the_middle(stage):
    server = stage.redis()
    node = start(stage, server, "--l2-timeout", "20s")
    warm(node)
    before = memory(node)
    conn = begin(node, data=bytes_of(LARGE), share=8, words=("SET", "m:k"))
    streams(node)
    stand_still(server.process)
    fill(conn)
    server.process.kill()
    conn.send(conn.rest)
    assert conn.read().startswith(b"L2DOWN")
    assert memory(node) - before < ROOM
    assert server.start()
    until(lambda: conn.ask("SET", "m:k", DATA) == b"OK", 10)
    until(lambda: conn.ask("GET", "m:k") == DATA, 10, "the bus is there again")
    conn.close()
    conn = begin(node, words=("SET", "m:k"))
    streams(node)
    server.client().flushall()
    conn.send(conn.rest)
    told = conn.read()
    assert told == b"OK" or told.startswith(b"L2DOWN"), "the epoch that it names is not there"
    until(lambda: conn.ask("SET", "m:k", DATA) == b"OK", 10)
    nothing_under_way(node)


def test_other_nodes_hear_of_it(stage, redis_server, managed):
    other = start(stage, redis_server)
    with managed.wire(timeout_s=60) as writer, other.wire(timeout_s=60) as reader:
        writer.ask("SET", "m:heard", "old")
        assert reader.ask("GET", "m:heard") == b"old"
        assert writer.ask("SET", "m:heard", DATA) == b"OK"
        until(lambda: reader.ask("GET", "m:heard") == DATA, 5)
        assert reader.ask("SET", "m:heard", DATA[1:]) == b"OK"
        until(lambda: writer.ask("GET", "m:heard") == DATA[1:], 5)


def test_what_is_held_whole(managed, redis_server):
    written = counted(managed, "written")
    with managed.wire(timeout_s=60) as conn:
        assert conn.ask("SET", "a:k", DATA) == b"OK"
        assert redis_server.client().exists("a:k") == 0
        assert isinstance(conn.ask("CACHE.SET", "m:tagged", DATA, "TAGS", "1", "red"), int)
        assert conn.ask("GET", "m:tagged") == DATA
    assert in_redis(redis_server, "m:tagged").tags in ([b"red"], (b"red",))
    assert counted(managed, "written") == written


def test_a_lease_is_filled_by_it(managed, redis_server):
    """Whoever is to load a key and sets it fills it in."""
    with managed.wire(timeout_s=60) as conn:
        assert conn.ask("GET", "m:load") == wire.NULL_BULK
        assert conn.ask("SET", "m:load", DATA) == b"OK"
        assert conn.ask("GET", "m:load") == DATA
        assert redis_server.client().keys("terrace:lease:*m:load") == []


@slow_under_sanitizers
def test_one_too_large_for_its_envelope_is_refused_and_leaves_no_memory(stage, redis_server):
    node = start(stage, redis_server)
    warm(node)
    before = vm_rss_bytes(node.pid)
    with node.wire(timeout_s=60) as conn:
        conn.send(b"*3\r\n$3\r\nSET\r\n$6\r\nm:huge\r\n$%d\r\n" % (512 * MB))
        for _ in range(512):
            conn.send(DATA[:MB])
        conn.send(b"\r\n")
        assert conn.read() == b"ERR string exceeds maximum allowed size (proto-max-bulk-len)"
        until(lambda: vm_rss_bytes(node.pid) - before < ROOM, 10, "what was written of it is gone")
