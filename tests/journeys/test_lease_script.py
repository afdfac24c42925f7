# SPDX-License-Identifier: BSD-3-Clause
"""The lease script (tiers/scripts/lease.lua) against a real Redis: who may load a key, who is told to wait, and what ends a
lease. No node takes part."""

import pathlib
import struct

import pytest
import redis

import harness
from harness import until

SCRIPT = (harness.ROOT / "tiers" / "scripts" / "lease.lua").read_text()
DB = 15
EPOCH, RANDOM = 3, b"\x00\r\n\xffabcd"
BASE = EPOCH << 32
FRAME = bytes(range(96))
KEY = b"m:k\r\n\x00"
NAME = b"terrace:lease:2:" + KEY


@pytest.fixture(scope="module")
def redis_of_all(module_stage):
    return module_stage.redis()


@pytest.fixture
def server(redis_of_all):
    redis_of_all.client().flushall()
    records = redis_of_all.client(db=DB)
    records.hset("terrace:meta", mapping={"epoch": EPOCH, "rand": RANDOM})
    records.set("terrace:seq", BASE)
    return redis_of_all


def lease(server, verb, *words, epoch=EPOCH, random=RANDOM):
    return server.client().eval(SCRIPT, 0, DB, epoch, random, verb, 2, KEY, FRAME, *words)


def win(server, name=b"n0000000000001", seen=0, life_ms=3000, heeds="!-", **epoch):
    return lease(server, "WIN", name, seen, life_ms, heeds, **epoch)


def end(server, token, mark="", ms=1, count_ms=60_000):
    return lease(server, "END", token, mark, ms, count_ms)


def envelope(version):
    return b"\xf5TE\x01" + bytes(4) + struct.pack("<Q", version) + bytes(32)


def test_one_wins_with_a_seq_of_its_own_and_all_others_are_told_how_long(server):
    bus = server.client().pubsub()
    bus.subscribe("terrace:bus")
    assert bus.get_message(timeout=5)["type"] == "subscribe"
    assert win(server) == [b"WON", b"n000000000000100", BASE + 1]
    assert server.client(db=DB).get(NAME) == b"n000000000000100:%d" % (BASE + 1)
    assert bus.get_message(timeout=5)["data"] == FRAME[:16] + struct.pack("<Q8sQ", EPOCH, RANDOM, BASE + 1) + FRAME[40:]
    told, ms = win(server, b"n0000000000002")
    assert told == b"BUSY" and 2000 < ms <= 3000
    assert int(server.client(db=DB).get("terrace:seq")) == BASE + 1
    assert bus.get_message(timeout=0) is None


def test_who_saw_another_version_is_to_look_again(server):
    assert win(server, seen=7) == [b"AGAIN"]
    server.client(db=2).set(KEY, envelope(7))
    assert win(server, seen=0) == [b"AGAIN"]
    assert win(server, seen=7)[0] == b"WON"
    server.client(db=2).set(KEY, envelope(8))
    assert win(server, seen=7) == [b"AGAIN"], "that comes before BUSY"
    assert win(server, seen="")[0] == b"BUSY"


@pytest.mark.parametrize("stands", [b"", b"plain", b"\xf5TE\x02" + bytes(60), b"\xf5TE\x01short"])
def test_what_is_no_envelope_has_version_0(server, stands):
    server.client(db=2).set(KEY, stands)
    assert win(server, seen=0)[0] == b"WON"


def test_a_value_of_another_type_has_version_0(server):
    server.client(db=2).rpush(KEY, "x")
    assert win(server, seen=0)[0] == b"WON"


def test_a_lease_runs_out_unless_it_is_renewed(server):
    token = win(server, life_ms=40)[1]
    assert lease(server, "RENEW", token, 60_000) == [b"OK"]
    assert server.client(db=DB).pttl(NAME) > 50_000
    assert lease(server, "RENEW", b"n000000000000200", 1) == [b"LOST"]
    assert lease(server, "RENEW", token, 1) == [b"OK"]
    until(lambda: win(server, b"n0000000000002")[0] == b"WON", 5, "the lease is over")
    assert lease(server, "RENEW", token, 1000) == [b"LOST"]


def test_who_hands_it_back_wakes_those_who_wait(server):
    token = win(server)[1]
    bus = server.client().pubsub()
    bus.subscribe("terrace:bus")
    assert bus.get_message(timeout=5)["type"] == "subscribe"
    assert end(server, b"n000000000000200") == [b"LOST"]
    assert end(server, token) == [b"OK"]
    assert bus.get_message(timeout=5)["data"][32:40] == struct.pack("<Q", BASE + 2)
    assert bus.get_message(timeout=0) is None
    assert win(server, b"n0000000000002")[:2] == [b"WON", b"n000000000000200"]
    assert end(server, token) == [b"LOST"]


def test_failures_are_counted_and_say_no_for_their_time(server):
    for count in range(3):
        token = win(server)[1]
        assert token == b"n0000000000001%02x" % count
        assert end(server, token, "!", 5000) == [b"OK"]
        told, ms = win(server)
        assert told == b"FAILED" and 4000 < ms <= 5000
        assert win(server, heeds="!")[0] == b"FAILED"
        assert 64_000 < server.client(db=DB).pttl(NAME) <= 65_000
        server.client(db=DB).pexpire(NAME, 60_000)
    assert win(server)[1][-2:] == b"03"


@pytest.mark.parametrize("mark", ["", "!"])
def test_without_memory_nobody_wins_and_who_holds_can_end_it(server, mark):
    token = win(server)[1]
    server.client().set("fill", "x" * 100_000)
    server.client().config_set("maxmemory", 100_000)
    try:
        with pytest.raises(redis.exceptions.ResponseError, match="OOM|not allowed when used memory"):
            server.client().eval(SCRIPT, 0, DB, EPOCH, RANDOM, "WIN", 2, b"m:other", FRAME, b"n0000000000002", 0, 3000, "!")
        assert end(server, token, mark, 5000) == [b"OK"]
        assert server.client(db=DB).get(NAME) == (b"!01:60000" if mark else None)
    finally:
        server.client().config_set("maxmemory", 0)


def test_an_idle_mark_is_heeded_by_those_who_say_so(server):
    end(server, win(server)[1], "-", 5000)
    assert win(server)[0] == b"IDLE"
    assert win(server, heeds="!")[:2] == [b"WON", b"n000000000000101"]


def test_the_count_stops_at_255(server):
    server.client(db=DB).set(NAME, "!ff:100", px=50)
    token = win(server)[1]
    assert token[-2:] == b"ff"
    end(server, token, "!", 1, 100)
    assert server.client(db=DB).get(NAME) == b"!ff:100"


@pytest.mark.parametrize("epoch", [{"epoch": EPOCH + 1}, {"random": b"otherone"}])
def test_another_epoch_is_told_and_nothing_done(server, epoch):
    before = server.client(db=DB).info("persistence")["rdb_changes_since_last_save"]
    assert win(server, **epoch) == [b"EPOCH"]
    server.client(db=DB).delete("terrace:meta")
    assert win(server) == [b"EPOCH"]
    assert not server.client(db=DB).exists(NAME)
    assert server.client(db=DB).info("persistence")["rdb_changes_since_last_save"] == before + 1


def test_records_of_another_type_are_none(server):
    records = server.client(db=DB)
    records.rpush(NAME, "garbage")
    assert win(server)[0] == b"WON"
    for garbage in (b"garbage", b"", b"!zz:1"):
        records.set(NAME, garbage)  # without an end: nobody's
        assert win(server)[0] == b"WON"
    records.delete("terrace:meta")
    records.rpush("terrace:meta", "garbage")
    assert win(server) == [b"EPOCH"]


def test_the_script_is_the_one_that_the_node_carries():
    if harness.REHEARSAL or not pathlib.Path(harness.TERRACED).exists():
        pytest.skip("no node was built")
    assert SCRIPT.encode() in pathlib.Path(harness.TERRACED).read_bytes()
