# SPDX-License-Identifier: BSD-3-Clause
"""Applications with a near cache (L0) on two nodes, strangers who write in Redis, and one kind of trouble at a time: between an
application and its node, between a node and Redis, of a node, of Redis. near_load.c is the applications, and writes down all that
they see; `terrace check` judges it with the bounds that nodes are held to (docs/history.md): a copy in the application's memory
may be no older than what its node might have served.

NEAR_SECONDS (2.5) is about how long each history lasts, TEST_SEED what the applications do. NEAR_MODE=asan or tsan: they run under a
sanitizer (MODE=... unit must be built): they do less in the same time, and their memory or their locks are looked at."""

import json
import os
import random
import signal
import time

import pytest

import history_file
from harness import ROOT, SEED, until
from history_run import judge
from libterrace import Client
from proxy import FaultProxy

pytestmark = pytest.mark.own

SECONDS = float(os.environ.get("NEAR_SECONDS", "2.5"))
LOAD = ROOT / "build" / os.environ.get("NEAR_MODE", "release") / "tests" / "journeys" / "near_load"
KEYS = 300
DEATHS = (1 << 24) - 1  # the writer of what a death leaves


class Rig:
    """Node A sees Redis through `bus`, and an application sees it through `door`; node B has a good network."""

    def __init__(self, stage, redis_server, bus):
        self.stage, self.redis_server, self.bus = stage, redis_server, bus
        flags = ["--l2-timeout", "700ms", "--l2-relay-timeout", "1500ms"]
        self.a, self.b = stage.node(*flags, l2=bus.url), stage.node(*flags, l2=redis_server)
        for node in (self.a, self.b):
            node.wait_synced()
        self.rng, self.deaths = random.Random(SEED), []

    def begin(self, door):
        self.door, self.record = door, self.stage.folder / "near.hist"
        options = "timeout=400ms&near-memory=1mb"
        clients = [f"one:terrace://127.0.0.1:{door.port}?{options}",
                   f"one:terrace://127.0.0.1:{self.a.port}?{options}&near-policy=s3fifo&connections=2",
                   f"one:terrace://127.0.0.1:{self.b.port}?{options}",
                   f"many:terrace://127.0.0.1:{door.port},127.0.0.1:{self.b.port}?{options}&strategy=round-robin&hedge=20ms"]
        self.load = self.stage.run("near_load", [LOAD, self.record, str(self.redis_server.port), str(SECONDS), str(SEED % DEATHS),
                                                 str(KEYS), *clients])
        until(lambda: self.record.exists() and self.record.stat().st_size > history_file.HEADER_SIZE, 30, "the load begins")
        self.ends_at = time.monotonic() + SECONDS

    def goes_on(self):
        return time.monotonic() < self.ends_at

    def lasts(self, *choices_s):
        """The history goes on for one of these without another event."""
        until_at = min(self.ends_at, time.monotonic() + self.rng.choice(choices_s))
        until(lambda: time.monotonic() >= until_at, SECONDS + 60)

    def finish(self):
        assert self.load.wait(SECONDS + 60) == 0, self.load.log()
        told = self.stage.folder / "deaths.hist"
        history_file.write(told, history_file.read_header(self.record), self.deaths)
        return json.loads(self.load.log().splitlines()[-1]), judge(self.record, told)


@pytest.fixture
def rig(stage):
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as bus:
        rig = Rig(stage, redis_server, bus)
        with FaultProxy(("127.0.0.1", rig.a.port)) as door:
            rig.begin(door)
            yield rig
            stage.end()


# --- troubles ---

def calm(rig):
    rig.lasts(SECONDS)


def frozen_stream(rig):
    """What the node says stands still, or what the application says; then it comes, late and in order."""
    while rig.goes_on():
        rig.lasts(0.3, 0.7)
        rig.door.freeze(rig.rng.choice(["up", "down", "both"]))
        rig.lasts(0.1, 0.6, 1.3, 1.9)
        rig.door.heal()


def cut_stream(rig):
    while rig.goes_on():
        rig.lasts(0.05, 0.3, 0.8)
        rig.rng.choice([rig.door.reset, lambda: rig.door.sever("down"), lambda: rig.door.half_close("down"),
                        lambda: rig.door.black_hole("down")])()
        rig.lasts(0.02, 0.3, 1.2)
        rig.door.heal()


def slow_stream(rig):
    """Events and answers come 0.3 s late and in small pieces: a proof must count from when its beat was sent."""
    while rig.goes_on():
        rig.door.delay(rig.rng.choice([100, 300]), rig.rng.choice(["up", "down"]), jitter_ms=50)
        rig.lasts(0.8, 1.5)
        rig.door.heal()
        rig.door.slice(7)
        rig.lasts(0.3)
        rig.door.heal()


def frozen_bus(rig):
    """The node hears nothing of what strangers and the other node write, and can still ask."""
    while rig.goes_on():
        rig.lasts(0.4)
        rig.rng.choice([lambda: rig.bus.freeze("down", who="bus"), lambda: rig.bus.black_hole("both", who="bus"),
                        lambda: rig.bus.delay(400, "down", who="bus"), rig.bus.freeze])()
        rig.lasts(0.6, 1.5, 2.2)
        rig.bus.heal()


def stopped_node(rig):
    while rig.goes_on():
        rig.lasts(0.3)
        node = rig.rng.choice([rig.a, rig.b])
        node.process.signal(signal.SIGSTOP)
        rig.lasts(0.2, 1.2, 1.8)
        node.process.signal(signal.SIGCONT)


def killed_node(rig):
    while rig.goes_on():
        rig.lasts(0.6)
        node = rig.rng.choice([rig.a, rig.b])
        node.process.kill()
        rig.lasts(0.02, 0.5)
        assert node.start()


def stopped_applications(rig):
    """The whole process of the applications stands still, threads in the middle of whatever they do."""
    while rig.goes_on():
        rig.lasts(0.2, 0.5)
        rig.load.signal(signal.SIGSTOP)
        rig.lasts(0.1, 1.1, 1.6)
        rig.load.signal(signal.SIGCONT)


def flushed_and_restarted_redis(rig):
    """FLUSHALL by a stranger and through a node; then Redis dies and comes back empty."""
    for server in (rig.redis_server, rig.b, rig.a):
        rig.lasts(SECONDS / 6)
        low = time.monotonic_ns()
        with server.wire() as conn:
            if conn.ask("FLUSHALL") == b"OK":
                rig.deaths += history_file.death((DEATHS << 40) + len(rig.deaths), low, time.monotonic_ns())
    low = time.monotonic_ns()
    rig.redis_server.process.kill()
    rig.lasts(0.2)
    assert rig.redis_server.start()
    rig.deaths += history_file.death((DEATHS << 40) + len(rig.deaths), low, time.monotonic_ns())
    rig.lasts(SECONDS)


@pytest.mark.parametrize("trouble", [calm, frozen_stream, cut_stream, slow_stream, frozen_bus, stopped_node, killed_node,
                                     stopped_applications, flushed_and_restarted_redis], ids=lambda trouble: trouble.__name__)
def test_nothing_that_l0_serves_breaks_the_contract(rig, trouble):
    trouble(rig)
    counts, verdict = rig.finish()
    print(f"{trouble.__name__}: {counts}, ages {verdict.found.get('nodes')}")
    replay = f"replay: TEST_SEED={SEED} NEAR_SECONDS={SECONDS} /usr/bin/python3 -m pytest -s {__file__} -k {trouble.__name__}"
    assert verdict.code == 0, f"{verdict.rules if verdict.found else ''} {verdict.story()}\n{replay}"
    assert counts["near_hits"] > 100 and counts["dropped"] > 5, f"{counts}\n{replay}"


def test_what_was_kept_is_handed_out_as_stale_when_nobody_can_be_asked(stage):
    redis_server = stage.redis()
    redis_server.client().set("k", "v")  # before there is a node: an announcement would come late, and end what is kept
    node = stage.node(l2=redis_server)
    with Client(f"terrace://127.0.0.1:{node.port}?timeout=2s&near-memory=1mb") as client:
        until(lambda: client.get("k").from_near, 15, "it is kept")
        node.process.kill()
        until(lambda: client.get("k").data is None, 15, "its stream is lost")
        found = client.get("k", spare_ms=60_000)
        assert (found.status, found.data, found.from_near) == ("STALE", b"v", True) and found.age_ms >= 0, found
        assert client.get("k", spare_ms=1).data is None
