# SPDX-License-Identifier: BSD-3-Clause
"""FLUSHALL, again and again, as suites of tests send it in front of each test: with the data goes what the nodes keep in
Redis, so each begins a new epoch. Nobody may get an error for that, whatever he asks just then, on whatever node, and
each client sees its own writes in order.

A reader of the storm writes only keys of its own, and knows of each what it wrote last; the flushes of others may take a
value away at any time, and never bring an older one back.
"""

import threading
import time

import pytest

import wire
from harness import serves_hits, until

pytestmark = pytest.mark.own

STORM_S = 2.5  # some T, so that no proof of before it is young enough at its end
FLUSHES_PER_S = 1500


class Storm:
    """Threads that run `step(conn)` until the time is over; the first error of any ends all, and fails the test."""

    def __init__(self, for_s=STORM_S):
        self.ends_at, self.threads, self.errors = time.monotonic() + for_s, [], []

    def over(self):
        return self.errors or time.monotonic() > self.ends_at

    def add(self, server, play, *args):
        def run():
            try:
                with server.wire() as conn:
                    play(self, conn, *args)
            except Exception as error:  # noqa: BLE001  (it is raised again)
                self.errors.append(error)
        self.threads.append(threading.Thread(target=run))

    def blow(self):
        for thread in self.threads:
            thread.start()
        for thread in self.threads:
            thread.join()
        if self.errors:
            raise self.errors[0]


def flush(storm, conn, at_least):
    began, count = time.monotonic(), 0
    while not storm.over():
        assert conn.ask("FLUSHALL") == b"OK"
        count += 1
        ahead_s = began + count / FLUSHES_PER_S - time.monotonic()
        if ahead_s > 0:
            time.sleep(ahead_s)
    assert count > at_least


class Older(AssertionError):
    """A value that the client had overwritten itself, or that was taken away, came back."""


def is_own(reply, wrote):
    """What a client reads of its own key: the last it wrote, or nothing, for somebody flushed."""
    return reply in (wrote, wire.NULL_BULK)


def read_and_write(storm, conn, name):
    """One pipeline of everything that goes to L2 in its own way, until the storm is over."""
    turn = 0
    while not storm.over():
        turn += 1
        new, newer = b"%d" % turn, b"%d." % turn
        replies = conn.pipeline([
            ["SET", name, new], ["GET", name], ["MGET", name, "none"], ["GETRANGE", name, "0", "-1"],
            ["HSET", "h" + name, "f", new], ["HGET", "h" + name, "f"], ["HMGET", "h" + name, "f"],
            ["RPUSH", "l" + name, new], ["LRANGE", "l" + name, "-1", "-1"],
            ["EVAL", "return redis.call('GET', KEYS[1])", "1", name],
            ["MULTI"], ["SET", name, newer], ["GET", name], ["EXEC"],
            ["GET", name],
            ["EVAL", "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('GET', KEYS[1])", "1", name, new],
            ["GET", name], ["STRLEN", name], ["EXISTS", name], ["TTL", "none"], ["DBSIZE"],
            ["EVAL", "redis.call('RPUSH', KEYS[1], 'q') return redis.call('LPOP', KEYS[1])", "1", "q" + name],
        ])
        errors = [reply for reply in replies if isinstance(reply, wire.Error)]
        assert not errors, (turn, errors)
        assert is_own(replies[1], new) and is_own(replies[2][0], new) and replies[3] in (new, b""), (turn, replies)
        assert is_own(replies[5], new) and is_own(replies[6][0], new) and replies[8] in ([new], []), (turn, replies)
        assert is_own(replies[9], new) and replies[13] == [b"OK", newer], (turn, replies)
        assert is_own(replies[14], newer) and replies[15] == new and is_own(replies[16], new), (turn, replies)
        assert replies[21] == b"q"
    assert turn > 10


def wait_for_elements(storm, conn, name):
    """BLPOP of what is there, and WATCH: each on a connection to L2 of its own."""
    turn = 0
    while not storm.over():
        turn += 1
        conn.send(wire.encode(["EVAL", "return redis.call('RPUSH', KEYS[1], ARGV[1])", "1", "b" + name, turn]))
        assert conn.read() == 1, turn
        taken = conn.ask("BLPOP", "b" + name, "0.01")
        assert taken is wire.NULL_ARRAY or taken == [b"b" + name.encode(), b"%d" % turn], (turn, taken)
        assert conn.ask("WATCH", "w" + name) == b"OK"
        got = conn.ask("GET", "w" + name)
        assert got is wire.NULL_BULK or got == b"%d" % (turn - 1), (turn, got)
        assert conn.ask("MULTI") == b"OK" and conn.ask("SET", "w" + name, turn) == b"QUEUED"
        done = conn.ask("EXEC")
        assert done is wire.NULL_ARRAY or done == [b"OK"], (turn, done)
        if done is wire.NULL_ARRAY:
            turn -= 1  # the key keeps what it was, or is gone
            conn.ask("DEL", "b" + name)
        assert is_own(conn.ask("GET", "w" + name), b"%d" % turn)
    assert turn > 5


def test_who_reads_and_writes_while_others_flush_gets_no_error(two_nodes, redis_server):
    here, there = two_nodes
    storm = Storm()
    storm.add(here, flush, 2)  # its answer waits for its epoch, which the other flushes take away again
    storm.add(redis_server, flush, 20)
    for name, node in (("a", here), ("b", there), ("c", here)):
        storm.add(node, read_and_write, name)
    for name, node in (("d", here), ("e", there)):
        storm.add(node, wait_for_elements, name)
    losses = [int(node.info()["l2_losses"]) for node in two_nodes]
    storm.blow()
    assert [int(node.info()["l2_losses"]) for node in two_nodes] == losses, "no link was given up"
    for node in two_nodes:
        node.wait_synced(2)


def test_a_flush_keeps_nothing_out_of_l1_for_long(stage, redis_server):
    """A link looks for an epoch that the node knows with its next read, not with its next check (T/4: 5 s)."""
    node = stage.node("--mode", "bounded 20s", "--threads", "1", l2=redis_server)
    with node.wire() as conn:
        for flusher in (conn.ask, redis_server.client().execute_command):
            conn.ask("SET", "k", "v")
            until(lambda: serves_hits(node, conn, "k"), 5, "L1 serves")
            epoch = node.info()["coherence_epoch"]
            assert flusher("FLUSHALL")
            until(lambda: node.info()["coherence_epoch"] != epoch, 10, "the node knows the new epoch")
            conn.ask("SET", "k", "v")
            until(lambda: serves_hits(node, conn, "k"), 10, "L1 serves again")
