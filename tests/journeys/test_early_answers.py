# SPDX-License-Identifier: BSD-3-Clause
"""Redis announces at the end of a cycle of its event loop; some answers leave in the middle (docs/decisions/011). What is
acknowledged then stands on the bus behind the frames and the first pong of the same cycle, and the node knows.

A cycle takes all that has arrived. So a short script holds Redis until everything that is to be in one cycle lies in its
sockets; it runs in the order of arrival."""

import socket
import time

import pytest

import wire
from proxy import FaultProxy
from harness import serves_hits, until

BUSY_MS = 300  # busy-reply-threshold
HOLD_MS = 200
SPIN = ("local t = redis.call('TIME') local ends = t[1] * 1000000 + t[2] + ARGV[1] * 1000 "
        "repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] > ends ")
HOLD = SPIN + "return 'held'"
# Redis looks at its sockets during the first part, and not during the second, which is few instructions of Lua.
BLOCK = SPIN + "for i = 1, 30 do redis.call('BITCOUNT', 'bits') end return 'done'"
BEAT = ("redis.call('HSET', 'terrace:nodes', 'n', ARGV[1]) redis.call('INCR', 'terrace:seq') "
        "redis.call('PUBLISH', 'terrace:bus', 'frame') return 'beaten'")


def arrive():
    """What was sent last lies in Redis' socket before what is sent next: on loopback this is time enough, and a round in
    which it was not is done again."""
    time.sleep(0.003)


class Bus(wire.Wire):
    """What a node hears."""

    def __init__(self, target):
        super().__init__(target)
        self.ask("CLIENT", "TRACKING", "ON", "REDIRECT", str(self.ask("CLIENT", "ID")), "BCAST")
        self.send(wire.encode(["SUBSCRIBE", "__redis__:invalidate", "terrace:bus"]))
        self.read(), self.read()

    def until_changed(self, key):
        """All up to the announcement of the key: b"frame", b"pong 7", b"busy", or a list of keys."""
        heard = []
        while not heard or key not in heard[-1]:
            reply = self.read()
            if isinstance(reply, wire.Error):
                heard.append(b"busy")
            elif reply[0] == b"pong":
                heard.append(b"pong " + reply[1])
            elif reply[1] == b"terrace:bus":
                heard.append(b"frame")
            elif isinstance(reply[2], list):
                heard.append(reply[2])
        return heard


@pytest.fixture
def busy_redis(stage):
    redis_server = stage.redis("--busy-reply-threshold", str(BUSY_MS))
    with redis_server.wire() as conn:
        conn.ask("SETRANGE", "bits", "100000000", "x")
    return redis_server


def wires(redis_server, count):
    """Connections that Redis has accepted."""
    conns = [redis_server.wire() for _ in range(count)]
    for conn in conns:
        conn.ask("PING")
    return conns


def is_in_front(heard, turn):
    """Whether frame and pong of this turn stand in front of the announcement of its cycle, which names all."""
    return b"frame" in heard and b"pong behind %d" % turn in heard and {b"terrace:nodes", b"terrace:seq"} <= set(heard[-1])


# --- what Redis does -------------------------------------------------------------------------------------------------


@pytest.mark.own
def test_a_long_script_lets_answers_out_before_their_announcement(busy_redis):
    """And a beat, and a PING, that are sent behind the answer run in the same cycle, in front of the announcement."""
    holder, writer, blocker, beater = wires(busy_redis, 4)
    bus = Bus(("127.0.0.1", busy_redis.port))
    for turn in range(20):
        holder.send(wire.encode(["EVAL", HOLD, "0", str(HOLD_MS)]))
        arrive()
        writer.send(wire.encode(["SET", "k", str(turn)]))
        arrive()
        blocker.send(wire.encode(["EVAL", BLOCK, "0", str(BUSY_MS + 50)]))
        arrive()
        beater.send(wire.encode(["PING"]))  # so that Redis looks at this connection in this cycle
        bus.send(wire.encode(["PING", "0"]))
        assert writer.read() == b"OK"
        was_busy = isinstance(beater.read(), wire.Error)
        time.sleep(0.06)  # the second part of the script has begun: a request that is read in the first is answered -BUSY
        beater.send(wire.encode(["EVAL", BEAT, "0", str(turn)]))
        bus.send(wire.encode(["PING", f"behind {turn}"]))
        beater.read(), blocker.read(), holder.read()
        if is_in_front(bus.until_changed(b"k"), turn) and was_busy:
            return
    pytest.fail("no turn in which all came into one cycle")


@pytest.mark.own
def test_a_client_whose_socket_was_full_is_answered_before_the_announcement(stage):
    """No script is longer than busy-reply-threshold here."""
    redis_server = stage.redis()
    holder, blocker, beater = wires(redis_server, 3)
    holder.ask("SET", "big", "x" * 4_000_000)
    bus = Bus(("127.0.0.1", redis_server.port))
    for turn in range(20):
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", redis_server.port))
            reader = slow.makefile("rb")
            slow.sendall(wire.encode(["GET", "big"]))
            assert reader.readline() == b"$4000000\r\n"  # the rest waits at Redis
            holder.send(wire.encode(["EVAL", HOLD, "0", "200"]))
            arrive()
            slow.sendall(wire.encode(["SET", "k", str(turn)]))
            arrive()
            blocker.send(wire.encode(["EVAL", HOLD, "0", "300"]))
            arrive()
            beater.send(wire.encode(["PING"]))
            bus.send(wire.encode(["PING", "0"]))
            assert len(reader.read(4_000_002)) == 4_000_002 and reader.readline() == b"+OK\r\n"
            beater.send(wire.encode(["EVAL", BEAT, "0", str(turn)]))
            bus.send(wire.encode(["PING", f"behind {turn}"]))
            beater.read(), beater.read(), blocker.read(), holder.read()
            if is_in_front(bus.until_changed(b"k"), turn):
                return
    pytest.fail("no turn in which all came into one cycle")


@pytest.mark.own
def test_a_flush_in_the_same_cycle_keeps_what_is_owed(stage):
    redis_server = stage.redis()
    holder, writer, beater, flusher = wires(redis_server, 4)
    bus = Bus(("127.0.0.1", redis_server.port))
    for turn in range(20):
        holder.send(wire.encode(["EVAL", HOLD, "0", str(HOLD_MS)]))
        arrive()
        writer.send(wire.encode(["SET", "k", str(turn)]))
        arrive()
        beater.send(wire.encode(["EVAL", BEAT, "0", "1"]))
        arrive()
        flusher.send(wire.encode(["FLUSHALL"]))
        for conn in (holder, writer, beater, flusher):
            conn.read()
        heard = bus.until_changed(b"k")
        if b"frame" in heard and b"terrace:seq" in heard[-1]:
            return
    pytest.fail("no turn in which all came into one cycle")


# --- what the node does ------------------------------------------------------------------------------------------------


@pytest.mark.own
def test_a_marker_is_not_home_before_the_announcement_behind_it(busy_redis, stage):
    """The bus is so slow that the announcement comes long after the marker's frame; what was acknowledged before the marker
    has ended its entry here when the marker's asker is answered."""
    holder, writer, blocker = wires(busy_redis, 3)
    writer.ask("SET", "hidden", "0")
    bus = Bus(("127.0.0.1", busy_redis.port))
    in_front = 0
    with FaultProxy(("127.0.0.1", busy_redis.port)) as proxy:
        node = stage.node(l2=proxy.url)
        with node.wire() as first, node.wire() as asker, node.wire() as other:
            for turn in range(1, 41):
                until(lambda: serves_hits(node, other, "hidden"), 10, "hidden is in L1")
                holder.send(wire.encode(["EVAL", HOLD, "0", str(HOLD_MS)]))
                arrive()
                writer.send(wire.encode(["SET", "hidden", str(turn)]))
                arrive()
                blocker.send(wire.encode(["EVAL", BLOCK, "0", str(BUSY_MS + 50)]))
                arrive()
                first.send(wire.encode(["CACHE.LASTSEQ"]))  # so that Redis looks at the node's link in this cycle
                assert writer.read() == b"OK"
                proxy.rate(2000, "down", "bus")
                asker.send(wire.encode(["CACHE.LASTSEQ"]))
                seq, shown = asker.read(), other.ask("GET", "hidden")
                assert isinstance(seq, wire.Error) or shown == b"%d" % turn, "behind the marker"
                proxy.rate(0, "down", "bus")
                first.read()  # -BUSY, or it took too long
                assert holder.read() == b"held" and blocker.read() == b"done"
                heard = bus.until_changed(b"hidden")
                in_front += not isinstance(seq, wire.Error) and b"frame" in heard and b"terrace:seq" in heard[-1]
                if in_front == 3 or (in_front > 0 and turn >= 20):  # on a busy machine it is rare
                    return
    pytest.fail("the marker never came into the same cycle")
