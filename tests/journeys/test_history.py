# SPDX-License-Identifier: BSD-3-Clause
"""Three nodes, one Redis, clients and strangers on few keys, under one kind of trouble at a time; every read that was
answered is judged against everything that was written. Two loads run side by side, on keys of their own:

terrace-bench --history: plain reads, writes, lives and deletions, tens of thousands a second, and reads at a steady pace
while a node or Redis stands still; judged by `terrace check`.
history_client.py: what that load does not do (GETSET, MSET, RENAME, PEXPIRE, transactions, scripts with undeclared keys,
pipelines that mix them); judged by oracle.py, which knows from MONITOR in which order writes ran that overlap.

HISTORY_SECONDS (3) is about how long each history lasts, TEST_SEED what the clients do; timing is not replayed, so a
seed may need several runs to fail again. HISTORY_MONITOR=0 leaves Redis unobserved: the oracle then does not judge
writes that overlap.
"""

import collections
import json
import os
import pathlib
import pickle
import random
import signal
import sys
import time

import pytest

import history_client
import history_file
from harness import BOUND_S, SEED, TERRACED, until
from history_run import finish_load, judge, start_load, wait_begun
from oracle import ACKED, History
from proxy import FaultProxy

pytestmark = pytest.mark.own

SECONDS = float(os.environ.get("HISTORY_SECONDS", "3"))
CLIENT = pathlib.Path(history_client.__file__)
BOUND_NS = int(BOUND_S * 1e9)
SLACK_NS = 3_000_000  # clocks of whole milliseconds; not for being late: the bound counts from the asking
SHOWN = 5
DEATHS = (1 << 24) - 1  # the writer of what a death leaves
LOAD_RATE = 2000 if os.environ.get("JOURNEY_SANITIZED") else 15_000


class Rig:
    """Three nodes; the first sees Redis through a proxy."""

    def __init__(self, stage, proxy, redis_server):
        self.stage, self.proxy, self.redis_server = stage, proxy, redis_server
        flags = ["--l2-timeout", "700ms", "--l2-relay-timeout", "1500ms"]
        self.nodes = [stage.node(*flags, l2=proxy.url), stage.node(*flags, l2=redis_server),
                      stage.node(*flags, l2=redis_server)]
        self.history = History()
        self.rng = random.Random()
        self.counts = collections.Counter()
        self.deaths = []

    # --- clients ---

    def begin(self, seed, seconds):
        self.monitor = None
        if os.environ.get("HISTORY_MONITOR", "1") != "0":
            self.monitor = self.client("monitor", "m", seed, [("redis", self.redis_server.port)])
            with self.redis_server.wire() as conn:
                until(lambda: b"cmd=monitor" in conn.ask("CLIENT", "LIST"), 20, "MONITOR runs")
        self.history.starts_at = time.monotonic_ns()
        self.rng.seed(seed)
        with self.redis_server.wire() as direct:  # what is not there is not in L1
            for key in history_client.KEYS:
                value, asked = b"first." + key.encode(), time.monotonic_ns()
                direct.ask("SET", key, value)
                self.history.write("first", key, value, asked, time.monotonic_ns(), ACKED)
        nodes = [(node.name, node.port) for node in self.nodes]
        direct = [("redis", self.redis_server.port)]
        self.clients = [self.client("node", f"n{i}", seed + i, nodes[i % 3:] + nodes[:i % 3]) for i in range(5)]
        self.clients += [self.client("stranger", f"s{i}", seed + 10 + i, direct) for i in range(2)]
        until(lambda: all(record.exists() for _, record in self.clients), 30, "the clients begin")
        self.record = self.stage.folder / "load.hist"
        self.load = start_load(self.stage, self.record, self.nodes, self.redis_server, seconds, "--seed", seed % DEATHS,
                               "--rate", LOAD_RATE, "--keys", 100, "--zipf", 0.5, "--connections", 8, "--pipeline", 2,
                               "--writes", 30, "--stranger", 800, "--px", 30, "--deletes", 30)
        wait_begun(self.record)
        self.ends_at_ns = time.monotonic_ns() + int(seconds * 1e9)

    def client(self, role, name, seed, addresses):
        config = {"role": role, "name": name, "seed": seed, "addresses": addresses,
                  "rarely": 0.0005 if role == "node" else 0.05}
        path = self.stage.folder / f"client-{name}.json"
        path.write_text(json.dumps(config))
        record = self.stage.folder / f"client-{name}.pickle"
        process = self.stage.run(f"client-{name}", [sys.executable, CLIENT, path, record],
                                 env={**os.environ, "PYTHONPATH": str(CLIENT.parent)})
        return process, record

    def death(self, low, high):
        """Redis lost everything between the two moments, and answered again at the second."""
        self.history.death(low, high)
        self.deaths += history_file.death((DEATHS << 40) + len(self.deaths), low, high)

    def left_s(self):
        return (self.ends_at_ns - time.monotonic_ns()) / 1e9

    def goes_on(self):
        return self.left_s() > 0

    def lasts(self, seconds):
        """The history goes on for so long without another event."""
        until_at = time.monotonic() + min(seconds, max(0, self.left_s()))
        until(lambda: time.monotonic() >= until_at, seconds + 1)

    def finish(self):
        self.lasts(self.left_s())
        groups = [self.clients, [self.monitor] if self.monitor else []]  # who watches ends last
        for group in groups:
            for process, _ in group:
                process.signal(signal.SIGTERM)
            for process, _ in group:
                assert process.wait(40) == 0, process.log()
        for _, record in sum(groups, []):
            operations, expiries, places, counts = pickle.loads(record.read_bytes())
            self.history.extend(operations)
            for expiry in expiries:
                self.history.expiry(*expiry)
            for name, moment in places.items():
                self.history.place(name, moment)
            self.counts.update(counts)
        for node in self.nodes:
            seen = node.info()
            self.counts["hits"] += int(seen["l1_hits"])
            self.counts["bus losses"] += int(seen["bus_losses"])

    def judge_load(self):
        """What `terrace check` says of the load, told when Redis lost everything."""
        self.load_counts = finish_load(self.load)
        told = self.stage.folder / "deaths.hist"
        history_file.write(told, history_file.read_header(self.record), self.deaths)
        return judge(self.record, told)

    # --- the end ---

    def at_rest(self):
        """What all keys are in Redis and, read twice, in every node, when nobody has written for T."""
        conns = [node.wire() for node in self.nodes]
        ask = ["MGET", *history_client.KEYS]
        for node, conn in zip(self.nodes, conns):
            node.wait_synced(8)
            until(lambda conn=conn: isinstance(conn.ask(*ask), list), 8, f"the links of {node.name} are up")
        until_at = time.monotonic() + BOUND_S
        while time.monotonic() < until_at:
            for node, conn in zip(self.nodes, conns):
                asked = time.monotonic_ns()
                replies = conn.ask(*ask)
                assert isinstance(replies, list), replies
                for key, reply in zip(history_client.KEYS, replies):
                    self.history.read(f"last:{node.name}", key, history_client.value_of(reply), asked,
                                      time.monotonic_ns())
        with self.redis_server.wire() as direct:
            expected = direct.ask(*ask)
        for node, conn in zip(self.nodes, conns):
            for _ in range(2):
                assert conn.ask(*ask) == expected, f"{node.name} differs from Redis at rest"
            conn.close()


@pytest.fixture
def rig(stage):
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        yield Rig(stage, proxy, redis_server)
        stage.end()


# --- troubles ---

def calm(rig):
    rig.lasts(SECONDS)


def cut_links(rig):
    """One node hears nothing of what strangers write, for longer than the bound, and could go on reading. Then again and
    again somebody kills the nodes' connections in Redis: all buses, or a random one of all."""
    rig.proxy.black_hole("both", who="bus")
    rig.lasts(2.2)
    rig.proxy.heal()
    with rig.redis_server.wire() as knife:
        knife.ask("CLIENT", "SETNAME", "stranger")
        while rig.goes_on():
            if rig.rng.random() < 0.7:
                knife.ask("CLIENT", "KILL", "TYPE", "pubsub")
            else:
                lines = [dict(word.split(b"=", 1) for word in line.split() if b"=" in word)
                         for line in knife.ask("CLIENT", "LIST").splitlines()]
                ids = [line[b"id"] for line in lines if line.get(b"name") != b"stranger"]
                knife.ask("CLIENT", "KILL", "ID", rig.rng.choice(ids))
            rig.lasts(rig.rng.choice([0.02, 0.4, 1.2]))


def kill_redis(rig):
    """Redis dies twice and comes back empty: at once, and after a while."""
    for wait_s, down_s in ((SECONDS / 4, 0), (SECONDS / 3, 0.5)):
        rig.lasts(wait_s)
        low = time.monotonic_ns()
        rig.redis_server.process.kill()
        rig.lasts(down_s)
        assert rig.redis_server.start()
        rig.death(low, time.monotonic_ns())
    rig.lasts(SECONDS)


def flush(rig):
    """FLUSHALL by a stranger, and through a node."""
    while rig.goes_on():
        server = rig.rng.choice([rig.redis_server, rig.nodes[0], rig.nodes[2]])
        low = time.monotonic_ns()
        with server.wire() as conn:
            reply = conn.ask(rig.rng.choice(["FLUSHALL", "FLUSHDB"]))
        if reply == b"OK":
            rig.death(low, time.monotonic_ns())
        rig.lasts(rig.rng.choice([0.1, 0.6, 1.4]))


def stop_a_node(rig):
    """SIGSTOP for longer than the bound; what was sent meanwhile is answered after SIGCONT."""
    while rig.goes_on():
        rig.lasts(0.4)
        node = rig.rng.choice(rig.nodes)
        node.process.signal(signal.SIGSTOP)
        rig.lasts(rig.rng.choice([0.4, 1.3, 3.0]))
        node.process.signal(signal.SIGCONT)


def redis_sleeps(rig):
    with rig.redis_server.wire() as direct:
        direct.ask("CLIENT", "SETNAME", "stranger")
        rig.lasts(SECONDS / 5)
        while rig.left_s() > 1:
            direct.ask("DEBUG", "SLEEP", rig.rng.choice(["0.3", "1.2", "2"]))
            rig.lasts(rig.rng.choice([0.3, 0.8]))


def bad_network(rig):
    """One node sees Redis through a network that stalls, resets, is slow, and loses one direction."""
    proxy = rig.proxy
    faults = [proxy.freeze, lambda: proxy.freeze("up"), lambda: proxy.freeze("down"), proxy.reset,
              lambda: (proxy.slice(3), proxy.delay(15)), lambda: proxy.delay(400, "down"),
              lambda: proxy.black_hole("up"), lambda: proxy.black_hole("down"), proxy.refuse]
    rig.rng.shuffle(faults)
    proxy.delay(700, "down")  # what comes is 0.7 to 1.4 s old: an echo must not count from its arrival
    rig.lasts(2.5)
    proxy.heal()
    while rig.goes_on():
        fault = faults.pop(0)
        faults.append(fault)
        fault()
        rig.lasts(rig.rng.choice([0.1, 0.5, 1.5]))
        proxy.heal()
        rig.lasts(rig.rng.choice([0.05, 0.6]))
    proxy.heal()


TROUBLES = [(calm, 3), (cut_links, SECONDS + 3), (kill_redis, SECONDS + 1), (flush, SECONDS), (stop_a_node, SECONDS + 2),
            (redis_sleeps, SECONDS), (bad_network, SECONDS + 3)]


@pytest.mark.parametrize("trouble, seconds", [pytest.param(t, max(s, SECONDS), id=t.__name__) for t, s in TROUBLES])
def test_no_read_of_a_history_breaks_the_contract(rig, trouble, seconds):
    rig.begin(SEED, seconds)
    trouble(rig)
    rig.finish()
    rest = None
    try:
        rig.at_rest()
    except AssertionError as error:
        rest = error
    violations = rig.history.check(BOUND_NS, SLACK_NS)
    verdict = rig.judge_load()
    print(f"{rig.load_counts}")
    print(f"seed {SEED}, {trouble.__name__}: {dict(rig.counts)}, {len(violations)} violations "
          f"{dict(collections.Counter(v.rule for v in violations))}")
    replay = (f"replay: TERRACED={TERRACED} TEST_SEED={SEED} HISTORY_SECONDS={SECONDS} "
              f"/usr/bin/python3 -m pytest -s {__file__} -k {trouble.__name__}")
    assert not violations, "\n\n".join([f"{len(violations)} violations"] + [
        f"[{v.rule}] {v.explanation}" for v in violations[:SHOWN]] + [replay])
    assert verdict.code == 0, f"{verdict.story()}\n{replay}"
    assert rest is None, f"{rest}\n{replay}"
    assert rig.load_counts["strange"] == "" and verdict.found["reads"] > 1000, rig.load_counts
    assert not any(name.startswith("strange") for name in rig.counts), rig.counts
    assert rig.counts["reads"] > 300 and rig.counts["hits"] > 100, rig.counts
