# SPDX-License-Identifier: BSD-3-Clause
"""What one application sees of its near cache (L0): which reads it answers, what ends what it keeps, and that nobody goes back."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from harness import BOUND_S, ROOT, SLACK_S, until
from libterrace import Client
from proxy import FaultProxy
from test_managed import configured

pytestmark = pytest.mark.own

MANAGED = "[namespace pages]\nprefix = m:\nformat = managed\nmax-ttl = 1h\n"
MODES = "[namespace strict]\nprefix = s:\nmode = strict 1s\n[namespace ttl]\nprefix = t:\nmode = ttl\nttl = 10s\n"


def near(node, *options):
    return Client(f"terrace://127.0.0.1:{node.port}?timeout=5s&near-memory=1mb", *options)


def keep(client, key, data):
    """Until the key is served from L0. What a read finds meanwhile is the value already."""
    def is_kept():
        found = client.get(key)
        assert found.data == data, found
        return found.from_near
    until(is_kept, 15, f"{key} is kept")


@pytest.fixture
def redis_of(stage):
    return stage.redis()


@pytest.fixture
def pair(stage, redis_of):
    nodes = [configured(stage, MANAGED, l2=redis_of) for _ in range(2)]
    for node in nodes:
        node.wait_synced()
    return nodes


def test_a_second_read_asks_nobody(pair, redis_of):
    redis_of.client().set("k", "v")
    with near(pair[0]) as client:
        def asks_nobody():
            """Unless the announcement of the write came late, and ended what was kept."""
            keep(client, "k", b"v")
            requests = client.counters()["requests"]
            found = client.get("k")
            if not found.from_near:
                return False
            assert 0 <= found.age_ms <= BOUND_S * 1000
            assert client.counters()["requests"] == requests
            status, pairs = client.mget(["k", "nothing"])
            assert (status, pairs[1].status) == ("OK", "MISS")
            return pairs[0].from_near
        until(asks_nobody, 15, "it is served from memory")


def test_what_a_stranger_writes_ends_what_is_kept(pair, redis_of):
    redis_of.client().set("k", "v1")
    with near(pair[0]) as client:
        keep(client, "k", b"v1")
        redis_of.client().set("k", "v2")
        until(lambda: client.get("k").data == b"v2", BOUND_S + SLACK_S, "it is told")
        keep(client, "k", b"v2")
        redis_of.client().delete("k")
        until(lambda: client.get("k").status == "MISS", BOUND_S + SLACK_S, "it is told")


def test_an_own_write_is_seen_by_the_next_read(pair):
    with near(pair[0]) as client:
        for i in range(300):
            value = b"%d" % i
            assert client.set("k", value).status == "OK"
            assert client.get("k").data == value
            assert client.get("k").data == value
        assert client.delete("k").status == "OK"
        assert client.get("k").status == "MISS"


def test_a_command_is_seen_by_the_next_read(pair):
    with near(pair[0]) as client:
        for i in range(100):
            value = b"%d" % i
            assert client.command("MSET", "other", "x", "k", value)[0] == "OK"
            assert client.get("k").data == value
            keep(client, "k", value)


def test_a_life_ends_in_l0_too(pair, redis_of):
    with near(pair[0]) as client:
        redis_of.client().set("k", "v", px=2000)
        ends_at = time.monotonic() + 2
        keep(client, "k", b"v")
        assert 0 < client.get("k").ttl_ms <= 2000
        until(lambda: time.monotonic() >= ends_at + 0.01)
        assert client.get("k").status == "MISS"


def test_a_read_past_l0_is_not_followed_by_an_older_one(stage, redis_of):
    """The node hears nothing: L0 could serve the old value for T still, but somebody has seen the new one."""
    writer = redis_of.client()
    with FaultProxy(("127.0.0.1", redis_of.port)) as proxy:
        node = stage.node(l2=proxy.url)
        node.wait_synced()
        with near(node) as client:
            for options in ({"no_near": True, "contract": "FRESH"}, {"contract": "FRESH"}):
                old, new = b"old %r" % bool(options.get("no_near")), b"new %r" % bool(options.get("no_near"))
                writer.set("k", old)
                until(lambda: client.get("k").data == old, BOUND_S + SLACK_S, "the old value is there")
                keep(client, "k", old)
                proxy.freeze("down", who="bus")
                writer.set("k", new)
                assert client.get("k", **options).data == new
                assert client.get("k").data == new
                proxy.heal()
                node.wait_synced()
        stage.end()


def test_contracts_that_l0_cannot_keep_are_asked_of_the_node(pair, redis_of):
    redis_of.client().set("k", "v")
    with near(pair[0]) as client:
        keep(client, "k", b"v")
        for options in ({"contract": "FRESH"}, {"no_near": True}, {"contract": "MAXSTALE", "max_stale_ms": 0}):
            assert not client.get("k", **options).from_near, options
        until(lambda: client.get("k", contract="MAXSTALE", max_stale_ms=int(BOUND_S * 1000)).from_near, 15, "as old as the bound it may be")
        until(lambda: client.get("k", contract="ANY").from_near, 15, "as old as any")


def test_strict_values_are_never_kept_and_ttl_values_are(stage, redis_of):
    node = configured(stage, MODES, l2=redis_of)
    node.wait_synced()
    writer = redis_of.client()
    writer.set("s:k", "v")
    writer.set("t:k", "v")
    with near(node) as client:
        keep(client, "t:k", b"v")
        for _ in range(20):
            assert not client.get("s:k").from_near
        until(lambda: keep(client, "t:k", b"v") or client.counters()["near_items"] == 1, 15, "the other is kept")


@pytest.mark.parametrize("target, word", [("TAG", "red"), ("PREFIX", "m:a:"), ("PATTERN", "m:a:*"), ("KEY", "m:a:1"), ("ALL", None)])
def test_an_invalidation_reaches_l0(pair, target, word):
    words = [] if word is None else [word]
    with near(pair[0]) as client, near(pair[1]) as other:
        for who, patience_s in ((client, 0), (other, BOUND_S + SLACK_S)):
            assert client.set("m:a:1", "v", tags=["red", "blue"]).status == "OK"
            keep(client, "m:a:1", b"v")
            assert who.invalidate(target, *words)[0] == "OK"
            if patience_s == 0:  # its own: nothing of it is seen any more
                assert client.get("m:a:1").data is None
            until(lambda: client.get("m:a:1").data is None, patience_s, "it is told")


def test_what_is_kept_is_coherent_without_an_l2_too(stage):
    node = stage.node()
    with near(node) as client, near(node) as other:
        client.set("k", "v1")
        keep(client, "k", b"v1")
        other.set("k", "v2")
        until(lambda: client.get("k").data == b"v2", BOUND_S + SLACK_S, "it is told")


def test_a_node_that_stands_still_closes_its_own_entries_only(pair, redis_of):
    redis_of.client().mset({f"k{i}": "v" for i in range(40)})
    a, b = pair
    with Client(f"terrace://127.0.0.1:{a.port},127.0.0.1:{b.port}?timeout=200ms&near-memory=1mb&strategy=hash") as client:
        for i in range(40):
            keep(client, f"k{i}", b"v")
        a.process.signal(signal.SIGSTOP)
        try:
            def shares():
                return sum(client.get(f"k{i}").from_near for i in range(40))
            until(lambda: shares() < 40, 5, "the fence of one closes")
            assert shares() > 0
        finally:
            a.process.signal(signal.SIGCONT)


SLEEPER = """
import os, pathlib, sys
from harness import until
from libterrace import Client
with Client(sys.argv[1]) as client:
    until(lambda: client.get("k").from_near, 20, "it is kept")
    pathlib.Path(os.environ["ASLEEP"]).touch()
    print(client.get("k").from_near)
    until(lambda: client.get("k").data == b"v", 20, "it is read again")
"""


def test_what_was_proved_before_the_machine_slept_proves_nothing_after_it(stage):
    node = stage.node()
    node.client().set("k", "v")
    env = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent), "ASLEEP": str(stage.folder / "asleep"),
           "LD_PRELOAD": str(ROOT / "build" / "release" / "tests" / "journeys" / "asleep.so")}
    done = subprocess.run([sys.executable, "-c", SLEEPER, f"terrace://127.0.0.1:{node.port}?near-memory=1mb&timeout=5s"], env=env,
                          capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
