# SPDX-License-Identifier: BSD-3-Clause
"""What each mode serves when Redis stands still, is gone or comes back, and when only the bus is cut.

One node with a namespace in each mode; a value of each is in L1 before the trouble begins.
"""

import pathlib
import signal
import time

import pytest

import wire
from harness import SLACK_S, until

pytestmark = pytest.mark.own

T_S, GRACE_S = 0.3, 2.0
MODES = """
[namespace bounded]
prefix = b:
mode = bounded 300ms
memory = 4mb
[namespace available]
prefix = a:
mode = available 2s 300ms
memory = 4mb
[namespace lasting]
prefix = t:
mode = ttl
ttl = 1h
memory = 4mb
"""
KEYS = ("a:k", "b:k", "t:k")


def stand_still(process, is_to=True):
    """SIGSTOP (or SIGCONT), and every thread has stopped when this returns."""
    process.signal(signal.SIGSTOP if is_to else signal.SIGCONT)

    def states():
        return {(task / "stat").read_text().rsplit(")", 1)[1].split()[0]
                for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()}
    until(lambda: (states() == {"T"}) == is_to, 5, "it stands still, or goes on")


class Rig:
    def __init__(self, stage):
        config = stage.folder / "modes.conf"
        config.write_text(MODES)
        self.redis = stage.redis()
        self.node = stage.node(str(config), "--threads", "1", "--l2-timeout", "200ms", l2=self.redis)
        self.conn = self.node.wire()
        for key in KEYS:
            self.stranger("SET", key, "v")
        for name, key in (("available", "a:k"), ("bounded", "b:k"), ("lasting", "t:k")):
            until(lambda name=name, key=key: self.hits_grow(name, key), 5, f"{key} is in L1")

    def stranger(self, *words):
        return self.redis.client().execute_command(*words)

    def hits_grow(self, name, key):
        def hits():
            line = self.node.info("namespaces")[f"ns_{name}"]
            return int(dict(pair.split("=") for pair in line.split(","))["hits"])
        before = hits()
        assert self.get(key) == b"v"
        return hits() > before

    def get(self, key):
        """The value, None, or the error as text."""
        reply = self.conn.ask("GET", key)
        return reply.decode() if isinstance(reply, wire.Error) else None if reply is wire.NULL_BULK else reply

    def stale_served(self):
        return int(self.node.info()["stale_served"])

    def served(self, key, seconds):
        """Asks until the answer is another than the value: when the last good one was asked for, since now; at most
        so long."""
        began, last = time.monotonic(), 0.0
        while time.monotonic() - began < seconds:
            asked = time.monotonic()
            if self.get(key) != b"v":
                return last
            last = asked - began
        return last


@pytest.fixture
def rig(stage):
    it = Rig(stage)
    yield it
    it.conn.close()


def is_down(reply):
    return isinstance(reply, str) and reply.startswith("L2DOWN")


def cut_the_bus(rig):
    """No rights to any channel: the subscription ends and is refused again; everything else goes on."""
    rig.stranger("ACL", "SETUSER", "default", "resetchannels")
    until(lambda: rig.node.coherence_state() == "DETACHED", 5, "the bus is gone")


def mend_the_bus(rig):
    rig.stranger("ACL", "SETUSER", "default", "allchannels")
    rig.node.wait_synced(10)


# --- Redis is away -----------------------------------------------------------------------------------------------------


def test_a_frozen_redis(rig):
    stand_still(rig.redis.process)
    try:
        last = rig.served("b:k", 5)
        assert last <= T_S + 0.001, "the horizon is older than the stop"
        assert rig.stale_served() == 0
        assert is_down(rig.get("b:k"))
        assert rig.get("a:k") == b"v" and rig.stale_served() == 1
        last = rig.served("a:k", 10)
        assert 0.0 < last <= GRACE_S, "T and the timeout of the read before are a part of G"
        assert is_down(rig.get("a:k"))
        assert rig.get("t:k") == b"v"
        assert is_down(rig.get("t:other"))
    finally:
        stand_still(rig.redis.process, False)
    for key in KEYS:
        until(lambda key=key: rig.get(key) == b"v", 10, "it is served again")


def test_a_dead_redis(rig):
    rig.redis.process.kill()
    until(lambda: is_down(rig.get("b:k")), 5, "bounded ends")
    assert rig.get("a:k") == b"v" and rig.get("t:k") == b"v"
    until(lambda: is_down(rig.get("a:k")), 10, "the grace is over")
    assert rig.get("t:k") == b"v"


def test_a_restarted_redis_that_lost_everything(rig):
    """A new epoch: suspects are asked for; whoever looks at no floor goes on until ttl, as it promises."""
    rig.redis.end()
    assert rig.redis.start()
    rig.node.wait_synced(10)
    assert rig.get("b:k") is None and rig.get("a:k") is None


# --- the bus is cut, Redis is there --------------------------------------------------------------------------------------


def test_a_cut_bus(rig):
    cut_the_bus(rig)
    changed = time.monotonic()
    for key in KEYS:
        rig.stranger("SET", key, "w")
    until(lambda: rig.get("b:k") == b"w", 5, "bounded asks Redis")
    assert time.monotonic() - changed <= T_S + SLACK_S
    until(lambda: rig.get("a:k") == b"v" and rig.stale_served() >= 1, T_S + SLACK_S, "the grace is longer")
    until(lambda: rig.get("a:k") == b"w", 10, "available asks Redis")
    assert time.monotonic() - changed <= GRACE_S + SLACK_S
    assert rig.get("t:k") == b"v"
    fills = int(rig.node.info()["l1_fills"])
    for _ in range(3):
        rig.get("b:k")
    assert int(rig.node.info()["l1_fills"]) == fills, "nothing is kept that nobody would announce"
    rig.stranger("SET", "t:new", "x")
    rig.get("t:new")
    assert int(rig.node.info()["l1_fills"]) == fills + 1, "but for what looks at its life only"
    mend_the_bus(rig)
    assert rig.get("a:k") == b"w" and rig.get("t:k") == b"v"


# --- all is well -----------------------------------------------------------------------------------------------------


def test_every_mode_obeys_announcements(rig):
    for key in KEYS:
        rig.stranger("SET", key, "w")
        until(lambda key=key: rig.get(key) == b"w", 5, "the change is seen")
    rig.stranger("FLUSHALL")
    for key in KEYS:
        until(lambda key=key: rig.get(key) is None, 5, "the flush is seen")
    assert rig.stale_served() == 0


def test_a_node_that_stood_still_serves_nothing_older_than_its_mode_allows(rig):
    stand_still(rig.node.process)
    for key in KEYS:
        rig.stranger("SET", key, "w")
    # Time itself is the subject: longer than the grace.
    time.sleep(GRACE_S + 0.1)
    stand_still(rig.node.process, False)
    assert rig.get("a:k") == b"w"
    assert rig.get("b:k") == b"w"
