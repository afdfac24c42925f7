# SPDX-License-Identifier: BSD-3-Clause
"""Writers that bypass the nodes at the worst moments, and forgers on the bus.

Whoever may write to Redis may change what a node holds: in the same turn of Redis' loop as the node itself, while the
node's bus is cut, by scripts that name no key, by emptying or exchanging databases. Whoever may PUBLISH may also lie.
Within the bound nothing older is served, and when they stop, hits are what they were.
"""

import threading
import time

import pytest

import wire
from harness import BOUND_S, SLACK_S, serves_hits, until

pytestmark = pytest.mark.own

SOON_S = BOUND_S + SLACK_S
KEYS_CHANNEL, FRAMES_CHANNEL = "__redis__:invalidate", "terrace:bus"
HOT = [f"hot {i}" for i in range(50)]


@pytest.fixture
def rig(stage):
    """A Redis, a node that holds 50 keys of database 0 in L1, a connection to each."""
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    with redis_server.wire() as stranger, node.wire() as conn:
        stranger.pipeline([["SET", key, "v"] for key in HOT])
        hold(conn)
        yield redis_server, node, stranger, conn


def hold(conn):
    """All of HOT stands in L1 and is served from there."""
    def held():
        conn.pipeline([["GET", key] for key in HOT])
        return all(it[it.index(b"state") + 1] == b"fresh"
                   for it in conn.pipeline([["CACHE.EXPLAIN", key] for key in HOT]))
    until(held, 10, "the hot keys are in L1")


def sees(conn, key, value):
    expected = wire.NULL_BULK if value is None else value
    until(lambda: conn.ask("GET", key) == expected, SOON_S, f"GET {key} gives {value!r}")


class Watched:
    """One key that a stranger goes on writing while a reader goes on reading it through a node; says when a read was
    older than the bound allows."""

    def __init__(self, redis_server, node):
        self.servers = redis_server, node
        self.acknowledged = [(time.monotonic(), 0)]
        self.reads, self.errors, self.late, self.failure = 0, 0, 0, None
        self.ended = threading.Event()
        with redis_server.wire() as conn:
            conn.ask("SET", "watched", "0")
        self.threads = [threading.Thread(target=self.guard, args=(work,)) for work in (self.write, self.read)]

    def guard(self, work):
        try:
            work()
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def write(self):
        with self.servers[0].wire() as conn:
            n = 0
            while not self.ended.wait(0.002):  # the pace of the writer
                n += 1
                conn.ask("SET", "watched", str(n))
                self.acknowledged.append((time.monotonic(), n))

    def read(self):
        with self.servers[1].wire() as conn:
            at, least = 0, 0
            while not self.ended.is_set():
                began = time.monotonic()
                while at < len(self.acknowledged) and self.acknowledged[at][0] <= began - BOUND_S:
                    least = self.acknowledged[at][1]
                    at += 1
                value = conn.ask("GET", "watched")
                self.reads += 1
                if isinstance(value, wire.Error):
                    self.errors += 1
                elif int(value) < least:
                    self.late += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self.ended.set()
        for thread in self.threads:
            thread.join(20)
        assert exc_info[0] is not None or self.failure is None, self.failure


# --- in the same turn of Redis' loop ---------------------------------------------------------------------------------


def test_a_stranger_in_the_same_turn_of_redis_as_our_own_write(rig, stage):
    """Redis merges both changes into one announcement. What was read between the two, by another node, in that same
    turn, must end by it."""
    redis_server, _, stranger, conn = rig
    orders = {b"ours": 0, b"theirs": 0}
    other = stage.node(l2=redis_server)
    theirs = b"".join(map(wire.encode, (["MULTI"], ["SET", "both", "theirs"], ["EXEC"])))
    with other.wire() as reader, redis_server.wire() as sleeper:
        for turn in range(24):
            # Redis sleeps and reads all that comes meanwhile in one turn, in the order of coming: time is the subject.
            sleeper.send(wire.encode(["DEBUG", "SLEEP", "0.06"]))
            steps = [lambda: conn.send(wire.encode(["SET", "both", "ours"])),
                     lambda: reader.send(wire.encode(["GET", "both"])), lambda: stranger.send(theirs)]
            for step in steps if turn % 3 else reversed(steps):
                time.sleep(0.01)
                step()
            assert conn.read() == b"OK" and [stranger.read() for _ in range(3)][0] == b"OK" and sleeper.read() == b"OK"
            reader.read()
            last = stranger.ask("GET", "both")
            orders[last] += 1
            for session in (conn, reader):
                sees(session, "both", last)
                assert [session.ask("GET", "both") for _ in range(5)] == [last] * 5, "it went back"
    print(f"last writer: {orders}")
    assert min(orders.values()) > 0


# --- during a cut of the bus ---------------------------------------------------------------------------------------------


def test_a_strangers_write_in_one_step_with_the_cut_of_the_bus(rig):
    """The cut and the write are one transaction: no announcement can have come in between."""
    redis_server, node, stranger, conn = rig
    with Watched(redis_server, node) as watched:
        for turn in range(8):
            replies = stranger.pipeline([["MULTI"], ["CLIENT", "KILL", "TYPE", "pubsub"],
                                         *[["SET", key, f"cut {turn}"] for key in HOT], ["EXEC"]])
            assert replies[-1][0] >= 1, "the node had no bus connection"
            for key in HOT:
                sees(conn, key, b"cut %d" % turn)
            node.wait_synced(5)
            hold(conn)
    assert watched.late == 0 and watched.errors == 0, (watched.late, watched.errors, watched.reads)


# --- scripts ---------------------------------------------------------------------------------------------------------------


def test_a_strangers_script_that_names_no_key(rig):
    _, node, stranger, conn = rig
    script = "for i = 0, ARGV[1] - 1 do redis.call('SET', 'hot ' .. i, ARGV[2]) end"
    for turn in range(20):
        stranger.ask("EVAL", script, "0", str(len(HOT)), f"script {turn}")
        began = time.monotonic()
        until(lambda turn=turn: conn.pipeline([["GET", key] for key in HOT]) == [b"script %d" % turn] * len(HOT), SOON_S)
        assert time.monotonic() - began < SOON_S
        hold(conn)


# --- databases that are emptied or exchanged -------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["FLUSHALL", "FLUSHDB"])
def test_a_flush_by_a_stranger_ends_what_the_node_holds(rig, command):
    _, node, stranger, conn = rig
    for turn in range(3):
        stranger.ask(command)
        until(lambda: node.l1_items() == 0, SOON_S, "deleted values are gone, not only suspect")
        assert conn.pipeline([["GET", key] for key in HOT]) == [wire.NULL_BULK] * len(HOT)
        stranger.pipeline([["SET", key, str(turn)] for key in HOT])
        hold(conn)
        assert conn.ask("GET", HOT[0]) == b"%d" % turn


def test_a_flush_through_a_node_ends_what_all_hold_and_reads_go_on(rig, stage):
    redis_server, node, _, conn = rig
    other = stage.node(l2=redis_server)
    with other.wire() as second:
        slowest_s = 0.0
        for turn in range(5):
            hold(second)
            assert conn.ask("FLUSHALL") == b"OK"
            assert conn.ask("GET", HOT[0]) == wire.NULL_BULK, "the session that flushed"
            for key in HOT[:10]:
                began = time.monotonic()
                assert conn.ask("GET", key) == wire.NULL_BULK
                slowest_s = max(slowest_s, time.monotonic() - began)
            until(lambda: other.l1_items() == 0, SOON_S, "the other node dropped all")
            assert second.ask("GET", HOT[0]) == wire.NULL_BULK
            conn.pipeline([["SET", key, str(turn)] for key in HOT])
            hold(conn)
    print(f"slowest read after a flush: {slowest_s * 1e3:.1f} ms")
    assert slowest_s < BOUND_S / 4 + SLACK_S


def test_exchanged_databases_end_on_all_nodes_and_others_stay(rig, stage):
    redis_server, node, stranger, conn = rig
    other = stage.node(l2=redis_server)
    stranger.ask("SELECT", "5")
    stranger.pipeline([["SET", key, "of five"] for key in HOT[:7]])
    stranger.ask("SELECT", "3")
    stranger.pipeline([["SET", key, "of three"] for key in HOT[:9]])
    with other.wire() as second, other.wire() as third:
        third.ask("SELECT", "3")
        second.ask("SELECT", "5")
        until(lambda: [second.ask("GET", key) for key in HOT[:7]] and [third.ask("GET", key) for key in HOT[:9]]
              and other.l1_items() == 16, 5, "both databases are in L1")
        assert conn.ask("SWAPDB", "5", "7") == b"OK"
        until(lambda: other.l1_items() == 9, SOON_S, "of database 5 nothing is left, of 3 everything")
        assert second.ask("GET", HOT[0]) == wire.NULL_BULK
        second.ask("SELECT", "7")
        assert second.ask("GET", HOT[0]) == b"of five"
        assert conn.ask("SWAPDB", "5", "x") == b"ERR invalid second DB index"
        assert conn.ask("SWAPDB", "99", "5") == b"ERR DB index is out of range"
        hold(conn)


@pytest.mark.parametrize("by", ["a node", "a stranger"])
def test_the_nodes_own_database_exchanged_is_a_new_epoch(rig, by):
    """And once more, which brings the records of the first epoch back: they are older than what the nodes know."""
    redis_server, node, stranger, conn = rig
    for _ in range(2):
        before = int(node.info()["coherence_epoch"])
        assert (conn if by == "a node" else stranger).ask("SWAPDB", "9", "15") == b"OK"
        until(lambda before=before: int(node.info()["coherence_epoch"]) > before, 5, "a new epoch")
        hold(conn)
        assert stranger.ask("SET", HOT[0], "other") == b"OK"
        sees(conn, HOT[0], b"other")
        assert stranger.ask("SET", HOT[0], "v") == b"OK"
        hold(conn)
    with node.wire() as own, node.wire() as nine:
        own.ask("SELECT", "15")
        nine.ask("SELECT", "9")
        assert own.ask("DBSIZE") == 0 and own.ask("KEYS", "*") == []
        left = ["terrace:log", "terrace:meta", "terrace:nodes", "terrace:seq"]
        # Lists of hot keys and the queue of warm jobs are there as well if their turn came meanwhile.
        assert sorted(key for key in nine.ask("KEYS", "*")
                      if not key.startswith((b"terrace:hot", b"terrace:warm:"))) == [key.encode() for key in left]
        before = int(node.info()["coherence_epoch"])
        assert nine.ask("DEL", *left) == 4
        hold(conn)
        assert int(node.info()["coherence_epoch"]) == before, "there they mean nothing"


OLD_IS_SERVED = """
[namespace patient]
prefix = patient:
memory = 8mb
mode = available 1h
[namespace timed]
prefix = timed:
memory = 8mb
mode = ttl
ttl = 1h
"""
OLD_ONES = ("patient:k", "timed:k")


@pytest.fixture
def lenient(stage):
    """(their Redis, a writer's connection, a reader's, its node): namespaces that show what is old, held in L1."""
    redis_server = stage.redis()
    path = stage.folder / "lenient.conf"
    path.write_text(OLD_IS_SERVED)
    writer, node = (stage.node(str(path), l2=redis_server) for _ in range(2))
    with redis_server.wire() as stranger, writer.wire() as conn, node.wire() as reader:
        # Both first: an announcement has no database, so the one of the second would end the first in L1.
        stranger.pipeline([["SELECT", "7"], *[["SET", key, "of seven"] for key in OLD_ONES],
                           ["SELECT", "0"], *[["SET", key, "old"] for key in OLD_ONES]])

        def held():
            before = int(node.info()["l1_hits"])
            return [reader.ask("GET", key) for key in OLD_ONES] == [b"old"] * 2 and int(node.info()["l1_hits"]) == before + 2
        until(held, 10, "both are in L1")
        yield redis_server, conn, reader, node


def shows_nothing_old(redis_server, reader, node):
    """L1 is empty: not even without L2, when these modes serve whatever they have, the old values come back."""
    until(lambda: node.l1_items() == 0, SOON_S, "the values are gone, not only suspect")
    redis_server.process.kill()
    for key in OLD_ONES:
        reply = reader.ask("GET", key)
        assert isinstance(reply, wire.Error) and reply.startswith(b"L2DOWN "), reply


def test_deleted_values_are_not_shown_by_modes_that_show_what_is_old(lenient):
    redis_server, _, reader, node = lenient
    assert redis_server.client().flushall()
    shows_nothing_old(redis_server, reader, node)


def test_exchanged_values_are_not_shown_by_modes_that_show_what_is_old(lenient):
    redis_server, conn, reader, node = lenient
    assert conn.ask("SWAPDB", "0", "7") == b"OK"
    shows_nothing_old(redis_server, reader, node)


# --- forgers -------------------------------------------------------------------------------------------------------------------


def real_frames(redis_server, count):
    """Frames of the nodes, as they came over the bus."""
    with redis_server.wire() as conn:
        conn.ask("SUBSCRIBE", FRAMES_CHANNEL)
        return [conn.read()[2] for _ in range(count)]


def with_word(frame, offset, number):
    """The words that Redis writes, epoch and seq, are not under the checksum."""
    return frame[:offset] + (number & (1 << 64) - 1).to_bytes(8, "little") + frame[offset + 8:]


def forgeries(redis_server):
    frames = real_frames(redis_server, 3)
    epoch = int.from_bytes(frames[0][16:24], "little")
    words = [b"", b"*-1\r\n", b"$-1\r\n", b"nil", b"*1\r\n*1\r\n$1\r\nk\r\n", b"\x00" * 64, b"x" * (1 << 20)]
    yield "strings as keys", [(KEYS_CHANNEL, word) for word in words + frames]
    yield "strings as frames", [(FRAMES_CHANNEL, word) for word in words]
    yield "old frames", [(FRAMES_CHANNEL, frame) for frame in frames]
    yield "frames cut or flipped", [(FRAMES_CHANNEL, frame) for frame in (
        frames[0][:63], frames[0][:-1], frames[0] + b"x", frames[0][:70] + b"\xff" + frames[0][71:])]
    yield "frames of older epochs", [(FRAMES_CHANNEL, with_word(frames[0], 16, counter)) for counter in (0, epoch - 1)]
    yield "frames of far epochs", [(FRAMES_CHANNEL, with_word(frames[0], 16, c)) for c in (1 << 62, epoch + (1 << 40))]
    yield "another random", [(FRAMES_CHANNEL, with_word(frames[0], 24, 4711))]
    yield "seqs that jump", [(FRAMES_CHANNEL, with_word(frames[0], 32, seq)) for seq in (0, 1, 1 << 40, (1 << 64) - 1)]


NAMES = ["strings as keys", "strings as frames", "old frames", "frames cut or flipped", "frames of older epochs",
         "frames of far epochs", "another random", "seqs that jump"]


@pytest.mark.parametrize("name", NAMES)
def test_a_forger_closes_the_fence_but_not_the_service(rig, name):
    """While he forges, all is answered within the bound; when he stops, hits come back. Nothing is flushed."""
    redis_server, node, stranger, conn = rig
    payloads = dict(forgeries(redis_server))[name]
    with Watched(redis_server, node) as watched:
        for turn in range(30):
            stranger.pipeline([["PUBLISH", channel, payload] for channel, payload in payloads])
            assert conn.ask("GET", HOT[0]) == b"v"
            # A value that lands while nothing may install drops what stood: HOT[0] and the watched key.
            assert node.l1_items() >= len(HOT) - 1, f"turn {turn}: a forger flushed L1"
        stopped = time.monotonic()
        hold(conn)
        back_s = time.monotonic() - stopped
    print(f"{name}: hits back after {back_s * 1e3:.0f} ms; {watched.reads} reads")
    assert watched.late == 0 and watched.errors == 0, (watched.late, watched.errors, watched.reads)
    assert stranger.ask("GET", HOT[0]) == b"v"


def test_a_forged_newer_epoch_costs_an_epoch_and_no_more(rig):
    redis_server, node, stranger, conn = rig
    before = int(node.info()["coherence_epoch"])
    with Watched(redis_server, node) as watched:
        for _ in range(5):
            frame = real_frames(redis_server, 1)[0]
            epoch = int.from_bytes(frame[16:24], "little")
            stranger.ask("PUBLISH", FRAMES_CHANNEL, with_word(frame, 16, epoch + 1))
            until(lambda: serves_hits(node, conn, HOT[0]), 5, "hits are back")
        hold(conn)
        assert node.l1_items() >= len(HOT), "a forger flushed L1"
    assert watched.late == 0 and watched.errors == 0, (watched.late, watched.errors, watched.reads)
    assert int(node.info()["coherence_epoch"]) <= before + 10
