# SPDX-License-Identifier: BSD-3-Clause
"""The fault proxy does what it says: a test of the tool, against redis-server."""

import time

import pytest

import wire
from proxy import FaultProxy


@pytest.fixture
def proxy(redis_server):
    with FaultProxy(("127.0.0.1", redis_server.port)) as fault_proxy:
        yield fault_proxy


def connect(proxy, timeout_s=5.0):
    return wire.Wire(("127.0.0.1", proxy.port), timeout_s=timeout_s)


def test_it_forwards_both_ways(proxy):
    with connect(proxy) as conn:
        conn.ask("SET", "k", b"x" * 1_000_000)
        assert conn.ask("GET", "k") == b"x" * 1_000_000


def test_it_freezes_and_delivers_late(proxy):
    with connect(proxy, 0.2) as conn:
        assert conn.ask("PING") == b"PONG"
        proxy.freeze("down")
        conn.send(wire.encode(["ECHO", "late"]))
        with pytest.raises(TimeoutError):
            conn.read()
        proxy.heal()
        conn.sock.settimeout(5)
        assert conn.read() == b"late" and conn.ask("PING") == b"PONG"


def test_a_black_hole_swallows_one_way_and_healing_resets(proxy, redis_server):
    with connect(proxy, 0.2) as conn:
        assert conn.ask("SET", "k", "1") == b"OK"
        proxy.black_hole("down")
        conn.send(wire.encode(["SET", "k", "2"]))
        with pytest.raises(TimeoutError):
            conn.read()
        assert redis_server.client().get("k") == b"2", "the other way works"
        proxy.heal()
        assert conn.closes_within(5) and conn.leftover() == b""
    with connect(proxy) as conn:
        assert conn.ask("GET", "k") == b"2"


def test_it_resets_and_refuses(proxy):
    with connect(proxy) as conn:
        assert conn.ask("PING") == b"PONG"
        proxy.reset()
        with pytest.raises((wire.Closed, ConnectionError)):
            conn.ask("PING")
            conn.ask("PING")
    proxy.refuse()
    with pytest.raises((wire.Closed, ConnectionError)):
        connect(proxy).ask("PING")
    proxy.heal()
    assert connect(proxy).ask("PING") == b"PONG"


def test_it_slices_and_delays(proxy):
    with connect(proxy) as conn:
        proxy.slice(1)
        assert conn.pipeline([["ECHO", str(i)] for i in range(50)]) == [b"%d" % i for i in range(50)]
        proxy.heal()
        proxy.delay(50)
        began = time.monotonic()
        assert conn.ask("PING") == b"PONG"
        assert time.monotonic() - began >= 0.1
