# SPDX-License-Identifier: BSD-3-Clause
"""BEAT's proof (server/native.h) against every way to change a key, and with trouble on the bus: after a BEAT that is `horizon_age_ms`
old, no copy that a client still keeps is older than what was acknowledged so long before.

Each key has one writer, who makes its value larger each time, by whatever command; one that ends the key makes what was written so
far too old, too.

PROOF_SECONDS (1.5) is how long each history lasts; if it is said, all kinds of trouble are made, else two. TEST_SEED: who writes what."""

import os
import random
import signal
import threading
import time

import pytest

from harness import SEED
from proxy import FaultProxy
from wire import Error

pytestmark = pytest.mark.own

SECONDS = float(os.environ.get("PROOF_SECONDS", "1.5"))
CONFIG = """
[namespace managed]
prefix = m:
format = managed
ttl = 60s
[namespace brief]
prefix = s:
format = managed
ttl = 300ms
swr = 60s
sie = 60s
[namespace nodes]
prefix = n:
writers = nodes
[namespace behind]
prefix = b:
format = managed
write = behind
ttl = 60s
"""

SET_UNNAMED = "return redis.call('set', ARGV[1], ARGV[2])"
DELETE_UNNAMED = "return redis.call('del', ARGV[1])"
# What a writer says, for key k: {next}: one more than before; several requests are one after the other.
SETS = ["SET k {next}", "GETSET k {next}", "SET k {next} GET", "SET k {next} PX 30", "MSET k {next} beside:k 1", "SETRANGE k 0 {long}",
        "SET tmp:k {next}\nRENAME tmp:k k", "SET tmp:k {next}\nCOPY tmp:k k REPLACE", "SET k {now}\nINCR k", "MULTI\nSET k {next}\nEXEC"]
SCRIPTS = [["EVAL", SET_UNNAMED, "0", "k", "{next}"], ["EVAL", DELETE_UNNAMED, "0", "k"]]
ENDS = ["DEL k", "UNLINK k", "PEXPIRE k 0", "GETDEL k"]
PLAIN = SETS + ENDS
MANAGED = ["SET k {next}", "CACHE.SET k {next} TAGS 1 of:k", "CACHE.SET k {next} TAGS 1 of:k\nCACHE.INVALIDATE TAG of:k", "DEL k",
           "CACHE.INVALIDATE KEY k", "CACHE.INVALIDATE KEY k SOFT", "CACHE.INVALIDATE PREFIX k", "CACHE.INVALIDATE PATTERN k*"]
TOLD = ["SET k {next}", "GETSET k {next}", "MSET k {next} n:beside:k 1", "DEL k"]
OWN = ["SET k {next}", "CACHE.SET k {next} TAGS 1 of:k", "DEL k", "CACHE.INVALIDATE KEY k"]


class Writer(threading.Thread):
    """Says one of `ways` to one of `servers`, again and again; `acknowledged`: (when, the least value that is good since)."""

    def __init__(self, key, ways, servers, ends):
        super().__init__()
        self.key, self.ways, self.servers, self.ends = key, ways, servers, ends
        self.chance, self.value = random.Random(f"{SEED} {key}"), 1
        self.acknowledged, self.trouble = [], None

    def words(self, line, value):
        words = line.split(" ") if isinstance(line, str) else line
        return [word.replace("k", self.key) if word in ("k", "k*") or word.endswith(":k") else
                word.format(next=value + 1, now=value, long=f"{value + 1:010}") for word in words]

    def write(self, conn):
        way = self.chance.choice(self.ways)
        for line in way.split("\n") if isinstance(way, str) else [way]:
            said = conn.ask(*self.words(line, self.value))
            assert not isinstance(said, Error), (way, said)
        self.value += 1
        self.acknowledged.append((time.monotonic(), self.value))

    def run(self):
        try:
            conns = [server.wire() for server in self.servers]
            while not self.ends.is_set():
                self.write(self.chance.choice(conns))
                self.ends.wait(self.chance.random() * 0.01)
        except Exception as trouble:  # pylint: disable=broad-except
            self.trouble = trouble

    def least(self, before):
        return max((value for at, value in list(self.acknowledged) if at < before), default=1)


class Copies:
    """What a client keeps, by the rules of docs/protocol.md."""

    def __init__(self, conn):
        self.conn, self.seen, self.kept = conn, 0, {}  # key: (value, until when)

    def obey(self):
        for event in self.conn.events[self.seen:]:
            if event.meta["all"]:
                self.kept.clear()
            for key in event.keys:
                self.kept.pop(key, None)
        self.seen = len(self.conn.events)

    def read(self, op, keys, **wish):
        begun, asked_at = len(self.conn.events), time.monotonic()
        for request, key in [(self.conn.send(op, key, **wish), key) for key in keys]:
            answer = self.conn.answer(request)
            if answer.status == "LOAD":
                self.conn.fail(key, answer.meta["token"])
            ended = any(event.meta["all"] or key in event.keys for event in self.conn.events[begun:])
            self.kept.pop(key, None)
            if answer.meta["near_ms"] > 0 and not ended:
                life_ms = answer.meta["ttl_ms"]
                self.kept[key] = int(answer.body), asked_at + life_ms / 1000 if life_ms >= 0 else float("inf")
        self.obey()


def watch_and_check(node, writers, seconds):
    """How many BEATs proved something, and how many copies were looked at."""
    chance, proved, checked = random.Random(SEED), 0, 0
    keys = {writer.key.encode(): writer for writer in writers}
    with node.native() as conn:
        assert conn.watch().status == "OK"
        copies, ends_at = Copies(conn), time.monotonic() + seconds
        while time.monotonic() < ends_at:
            wish = chance.choice([{}, {}, {"contract": 3}, {"contract": 1, "max_stale_ms": 5000}])
            copies.read(chance.choice(["GET", "GET", "FETCH"]), chance.sample(sorted(keys), 6), **wish)
            asked_at = time.monotonic()
            beat = conn.beat()
            copies.obey()
            proof = asked_at - beat.meta["horizon_age_ms"] / 1000
            proved += beat.meta["has_horizon"]
            for key, (value, until_at) in copies.kept.items():
                if beat.meta["has_horizon"] and asked_at < until_at:
                    assert value >= keys[key].least(proof), ("a violation", key, value, beat, asked_at - proof, keys[key].acknowledged[-5:])
                    checked += 1
        assert [event.meta["stream_seq"] for event in conn.events] == list(range(1, len(conn.events) + 1))
    return proved, checked


def judge(node, plan, seconds=SECONDS):
    """`plan`: [(keys, ways, servers)]"""
    ends = threading.Event()
    writers = [Writer(key, ways, servers, ends) for keys, ways, servers in plan for key in keys]
    for writer in writers:
        with writer.servers[-1].wire() as conn:
            assert conn.ask("SET", writer.key, "1") == b"OK"
    for writer in writers:
        writer.start()
    try:
        found = watch_and_check(node, writers, seconds)
    finally:
        ends.set()
        for writer in writers:
            writer.join()
    assert not [writer.trouble for writer in writers if writer.trouble]
    return found


def names(prefix, count):
    return [f"{prefix}{i}" for i in range(count)]


@pytest.fixture
def config(stage):
    path = stage.folder / "proof.conf"
    path.write_text(CONFIG)
    return str(path)


def test_whoever_writes_however(stage, config):
    redis_server = stage.redis()
    node, other = (stage.node(config, "--behind-dir", str(stage.folder / name), l2=redis_server) for name in ("one", "other"))
    for each in (node, other):
        each.wait_synced()
    everybody = [redis_server, node, other]
    plan = [(names("p", 6), PLAIN + SCRIPTS, everybody), (names("m:", 5), MANAGED, [node, other]), (names("s:", 3), MANAGED, [node, other]),
            (names("n:", 3), TOLD, [node, other]), (names("b:", 3), OWN, [node])]
    proved, checked = judge(node, plan)
    assert proved > 10 and checked > 20


def test_whoever_writes_alone(node_alone):
    proved, checked = judge(node_alone, [(names("p", 8), PLAIN, [node_alone, node_alone])])
    assert proved > 10 and checked > 20


def test_with_a_table_that_is_always_full(stage):
    redis_server = stage.redis()
    node = stage.node("--tracking-table-max-keys", "3", l2=redis_server)
    node.wait_synced()
    proved, _ = judge(node, [(names("p", 8), PLAIN + SCRIPTS, [redis_server, node])])
    assert proved > 10


# --- trouble ----------------------------------------------------------------------------------------------------------------


def frozen_bus(node, other, proxy, chance):
    proxy.freeze("down", who="bus")


def late_bus(node, other, proxy, chance):
    proxy.delay(chance.choice([100, 400]), "down", who="bus")


def cut_links(node, other, proxy, chance):
    proxy.reset()


def stopped_node(node, other, proxy, chance):
    node.process.signal(signal.SIGSTOP)


def other_modes(node, other, proxy, chance):
    other.client().config_set("mode", chance.choice(["bounded 200ms", "bounded 1s"]))
    node.client().config_set("mode", chance.choice(["bounded 200ms", "bounded 1s", "available 5s"]))


TROUBLES = [frozen_bus, other_modes, late_bus, cut_links, stopped_node]


@pytest.mark.parametrize("trouble", TROUBLES if "PROOF_SECONDS" in os.environ else TROUBLES[:2], ids=lambda trouble: trouble.__name__)
def test_while_there_is_trouble(stage, config, trouble):
    """Strangers and the other node write; the node that is watched has it bad."""
    redis_server, ends, chance = stage.redis(), threading.Event(), random.Random(SEED)
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node, other = (stage.node(config, "--behind-dir", str(stage.folder / name), "--l2-timeout", "700ms", l2=l2)
                       for name, l2 in (("one", proxy.url), ("other", redis_server)))
        for each in (node, other):
            each.wait_synced()

        def make():
            while not ends.wait(chance.choice([0.1, 0.4])):
                trouble(node, other, proxy, chance)
                ends.wait(chance.choice([0.05, 0.3, 1.3]))
                node.process.signal(signal.SIGCONT)
                proxy.heal()

        maker = threading.Thread(target=make)
        maker.start()
        try:
            proved, _ = judge(node, [(names("p", 6), PLAIN + SCRIPTS, [redis_server, other]), (names("m:", 5), MANAGED, [other]),
                                     (names("n:", 3), TOLD, [other])], 2 * SECONDS)
        finally:
            ends.set()
            maker.join()
    assert proved > 3
