# SPDX-License-Identifier: BSD-3-Clause
"""The fault proxy does what it says: a test of the tool, against redis-server."""

import socket
import time

import pytest

import wire
from harness import until
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
        assert conn.closes_within(15) and conn.leftover() == b""
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


def test_a_severed_connection_is_silent_and_a_new_one_passes(proxy):
    with connect(proxy, 0.2) as old:
        assert old.ask("PING") == b"PONG"
        proxy.sever("down")
        with pytest.raises(TimeoutError):
            old.ask("PING")
        with connect(proxy) as new:
            assert new.ask("PING") == b"PONG"
        proxy.heal()
        assert old.closes_within(15)


def test_what_is_frozen_arrives_though_its_sender_left(proxy, redis_server):
    """The network that makes an unknown outcome run late."""
    with connect(proxy) as conn:
        assert conn.ask("SET", "left", "before") == b"OK"
        proxy.freeze("up")
        conn.send(wire.encode(["SET", "left", "late"]))
    until(lambda: proxy.stats()["open"] > 0, 5)
    assert redis_server.client().get("left") == b"before"
    proxy.heal()
    until(lambda: redis_server.client().get("left") == b"late", 5, "the late bytes run")
    until(lambda: proxy.stats()["open"] == 0, 5, "then its end is passed on")


def test_an_end_is_passed_on_as_it_came(proxy, redis_server):
    with connect(proxy) as conn:
        assert conn.ask("SET", "k", "v") == b"OK"
        conn.send(wire.encode(["GET", "k"]))
        conn.sock.shutdown(socket.SHUT_WR)
        assert conn.read() == b"v", "what came before the end is answered"
        assert conn.closes_within(15)
    with connect(proxy) as conn:
        number = conn.ask("CLIENT", "ID")
        assert redis_server.client().client_kill_filter(_id=number) == 1
        assert conn.closes_within(15)
    until(lambda: proxy.stats()["open"] == 0, 5)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_it_half_closes(proxy, redis_server, direction):
    with connect(proxy) as conn:
        assert conn.ask("DEL", "half") in (0, 1)
        proxy.half_close(direction)
        conn.send(wire.encode(["SET", "half", "v"]))
        assert conn.closes_within(15), "Redis closes at the end of its input, and the end comes down"
        expected = None if direction == "up" else b"v"
        until(lambda: redis_server.client().get("half") == expected, 5)


def test_it_holds_the_one_connection_with_the_marker(proxy, redis_server):
    with connect(proxy) as held, connect(proxy) as free:
        proxy.hold("up", b"marked")
        held.send(wire.encode(["SET", "marked", "1"]))
        until(lambda: proxy.holds("up"), 5)
        assert free.ask("SET", "marked", "2") == b"OK" and redis_server.client().get("marked") == b"2"
        proxy.release("up")
        assert held.read() == b"OK" and free.ask("GET", "marked") == b"1"


def test_it_limits_the_rate(proxy):
    with connect(proxy) as conn:
        assert conn.ask("SET", "k", b"x" * 50_000) == b"OK"
        proxy.rate(100_000, "down")
        began = time.monotonic()
        assert len(conn.ask("GET", "k")) == 50_000
        assert 0.4 < time.monotonic() - began < 3


def test_jitter_keeps_the_order(proxy):
    with connect(proxy) as conn:
        proxy.delay(1, jitter_ms=10)
        for i in range(30):
            conn.send(wire.encode(["ECHO", str(i)]))
        assert [conn.read() for _ in range(30)] == [b"%d" % i for i in range(30)]


def test_it_flips_bits(proxy):
    with connect(proxy) as conn:
        assert conn.ask("SET", "k", b"\0" * 100_000) == b"OK"
        proxy.flip_bytes(1000, "down")
        conn.send(wire.encode(["GETRANGE", "k", "0", "-1"]))
        data = b""
        while len(data) < 100_000:
            data += conn.sock.recv(1 << 16)
        proxy.heal()
        wrong = [byte for byte in data[9:-2] if byte]
        assert 50 < len(wrong) < 200 and all(bin(byte).count("1") == 1 for byte in wrong)
        assert abs(proxy.stats()["flipped_bytes"] - len(wrong)) < 5


# --- messages ---

class Bus:
    """A subscription as nodes have one, through the proxy."""

    def __init__(self, proxy, redis_server):
        self.conn, self.writer = connect(proxy), redis_server.wire()
        number = self.conn.ask("CLIENT", "ID")
        self.conn.ask("CLIENT", "TRACKING", "ON", "REDIRECT", str(number), "BCAST", "PREFIX", "bus:")
        self.conn.pipeline([["SUBSCRIBE", "__redis__:invalidate"], ["SUBSCRIBE", "terrace:bus"]])

    def change(self, *keys):
        for key in keys:
            self.writer.ask("SET", "bus:" + key, "v")

    def say(self, *frames):
        for frame in frames:
            self.writer.ask("PUBLISH", "terrace:bus", frame)

    def heard(self, count):
        messages = [self.conn.read()[2] for _ in range(count)]
        return [(message[0][4:] if isinstance(message, list) else message).decode("latin-1") for message in messages]


@pytest.fixture
def bus(proxy, redis_server):
    subscription = Bus(proxy, redis_server)
    yield subscription
    subscription.conn.close()
    subscription.writer.close()


def test_it_drops_one_announcement_and_nothing_else(proxy, bus):
    proxy.drop("keys", count=1)
    bus.say("f1")
    bus.change("a", "b", "c")
    assert bus.heard(3) == ["f1", "b", "c"]
    proxy.drop("frames", count=1, containing=b"f3")
    bus.say("f2", "f3", "f4")
    assert bus.heard(2) == ["f2", "f4"]
    seen = proxy.stats()
    assert (seen["keys"], seen["frames"], seen["dropped_keys"], seen["dropped_frames"]) == (3, 4, 1, 1)


def test_it_drops_one_in_so_many(proxy, bus):
    proxy.seed(7)
    proxy.drop("any", one_in=10)
    bus.say(*map(str, range(1000)), "end")
    heard = []
    while not heard or heard[-1] != "end":
        heard += bus.heard(1)
    assert 50 < proxy.stats()["dropped_frames"] < 200
    assert len(heard) == 1001 - proxy.stats()["dropped_frames"]


def test_it_duplicates_postpones_and_reorders(proxy, bus):
    proxy.duplicate("keys", count=1)
    bus.change("a", "b")
    assert bus.heard(3) == ["a", "a", "b"]
    proxy.reorder("keys", count=1)
    bus.change("c")
    bus.say("f1", "f2")
    assert bus.heard(3) == ["f1", "c", "f2"]
    proxy.postpone("frames", 100, count=1)
    began = time.monotonic()
    bus.say("f3")
    bus.change("d")
    assert bus.heard(2) == ["d", "f3"] and time.monotonic() - began >= 0.1
    seen = proxy.stats()
    assert (seen["duplicated_keys"], seen["reordered_keys"], seen["delayed_frames"]) == (1, 1, 1)


def test_it_flips_a_bit_of_a_payload(proxy, bus):
    proxy.flip("any", count=2)
    bus.say("\0" * 40)
    bus.change("a" * 40)
    bus.say("whole")
    frame, key, last = bus.heard(3)
    assert sum(map(ord, frame)).bit_count() == 1 and len(frame) == 40
    assert key != "a" * 40 and last == "whole"


def test_faults_of_the_bus_alone(proxy, bus):
    with connect(proxy) as plain:
        plain.ask("PING")
        assert proxy.stats()["buses"] == 1
        proxy.black_hole("down", who="bus")
        bus.say("lost")
        assert plain.ask("PING") == b"PONG", "other connections are not concerned"
        until(lambda: proxy.stats()["frames"] == 0 and bus.writer.ask("PUBLISH", "terrace:bus", "lost") == 1, 5)
        proxy.heal()
        assert bus.conn.closes_within(15) and bus.conn.leftover() == b"", "what lost bytes is reset"
        assert plain.ask("PING") == b"PONG"


def test_a_hundred_thousand_announcements_pass_at_once(proxy, bus):
    """The proxy must not be what a loaded run waits for."""
    count, began = 100_000, time.monotonic()
    bus.writer.send(wire.encode(["EVAL", "for i = 1, ARGV[1] do redis.call('PUBLISH', 'terrace:bus', i) end", "0", count]))
    proxy.drop("frames", one_in=1, containing=b"no such frame")
    last = b"\r\n100000\r\n"
    data = b""
    while not data.endswith(last):
        data = data[-len(last):] + bus.conn.sock.recv(1 << 20)
    assert time.monotonic() - began < 5
    assert proxy.stats()["frames"] == count


def test_nonsense_is_refused(proxy):
    with pytest.raises(AssertionError, match="a direction is up, down or both, not 'sideways'"):
        proxy.freeze("sideways")
    with pytest.raises(AssertionError, match="a kind is keys, frames or any, not 'letters'"):
        proxy.drop("letters")
