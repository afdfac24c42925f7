# SPDX-License-Identifier: BSD-3-Clause
"""Managed keys under trouble, judged: three nodes, clients that load (CACHE.FETCH, FILL), write (SET, CACHE.SET) and invalidate
by tag, by prefix and by key; one kind of trouble at a time. Recorded as docs/history.md says, judged by `terrace check`:

- an invalidation is a deletion of each key that it means, so a read that begins T after it was acknowledged and shows what
  stood before is `stale`;
- a FILL took its value when its load began, so one that began before an invalidation must be refused or dead: shown, it is
  `stale`, and one that was refused and is shown is `unwritten`.

Reads that show nothing are not recorded: they may mean that somebody loads. HISTORY_SECONDS (2) is about how long each history
lasts."""

import asyncio
import contextlib
import itertools
import os
import random
import threading
import time

import pytest

import history_file as history
import wire
from harness import until
from history_run import judge
from origin import Client
from proxy import FaultProxy
from test_managed import configured

pytestmark = pytest.mark.own

SECONDS = float(os.environ.get("HISTORY_SECONDS", "2"))
T_MS = 300
CONFIG = f"""
[namespace m]
prefix = m:
format = managed
mode = bounded {T_MS}ms
hard-timeout = 100ms
load-timeout = 1s
"""
GROUPS = 4  # of tagged keys, and of keys that share a prefix
OF_EACH = 8
TAGGED = GROUPS * OF_EACH
KEYS = 2 * TAGGED
DURABLE = ["--appendonly", "yes", "--appendfsync", "always"]
NOTHING_DONE = (b"L2DOWN", b"BUSY", b"LOADING", b"READONLY", b"LOST")
MS = 1_000_000


class Load:
    """Clients of all nodes, on a thread of their own."""

    def __init__(self, nodes, seed):
        self.nodes, self.seed, self.rng = nodes, seed, random.Random(seed)
        self.names = [f"m:{seed}:{kind}{group}:{i}" for kind in ("tagged", "p") for group in range(GROUPS)
                      for i in range(OF_EACH)]
        self.records, self.values, self.sessions = [], itertools.count((seed + 1) << 40 | 1), itertools.count()
        self.counts = dict.fromkeys(("reads", "fills", "refused fills", "sets", "invalidations", "lost"), 0)
        self.strange = {}
        self.began_ns = time.monotonic_ns()
        self.ends = False
        self.thread = threading.Thread(target=lambda: asyncio.run(self.run()))

    async def run(self):
        tasks = [self.client(self.reader, at) for at in (0, 0, 0, 1, 1, 1, 2, 2, 2)]
        tasks += [self.client(self.writer, at) for at in (0, 1, 2)]
        await asyncio.gather(*tasks)

    async def client(self, work, at):
        while not self.ends:
            client = Client(self.nodes[at])
            try:
                await client.connect()
                session = next(self.sessions)
                while not self.ends:
                    await work(client, at, session)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                await asyncio.sleep(0.02)
            finally:
                if hasattr(client, "writer"):
                    client.leave()

    # --- what is written down ---

    def begin(self, kind, key, session, node):
        record = {"kind": kind, "key": key, "session": session, "node": node, "value": next(self.values),
                  "invoked_ns": time.monotonic_ns()}
        self.records.append(record)
        return record

    def end(self, begun, reply, taken_ns=None):
        if not isinstance(reply, wire.Error):
            outcome = history.OK
        elif reply.startswith(NOTHING_DONE):
            outcome = history.REFUSED
        elif reply.startswith(b"UNKNOWN") and b"may still" not in reply:
            outcome = history.UNKNOWN
        else:
            outcome = history.LOST
            self.counts["lost"] += 1
            if not reply.startswith((b"STALE", b"UNKNOWN")):
                self.strange[bytes(reply)] = self.strange.get(bytes(reply), 0) + 1
        now_ns = time.monotonic_ns()
        age_ms = (now_ns - taken_ns) // MS if taken_ns else 0
        self.records.append({**begun, "kind": history.END, "what": outcome, "completed_ns": now_ns, "life_ms": age_ms})
        return outcome

    def read(self, key, session, node, value, asked_ns):
        if value is not None:
            self.counts["reads"] += 1
            self.records.append({"kind": history.READ, "key": key, "session": session, "node": node, "value": int(value, 16),
                                 "invoked_ns": asked_ns, "completed_ns": time.monotonic_ns()})

    # --- what clients do ---

    async def reader(self, client, node, session):
        key = self.rng.randrange(KEYS)
        loads = self.rng.random() < 0.1
        asked_ns = time.monotonic_ns()
        reply = await client.ask("CACHE.FETCH", self.names[key], *([] if loads else ["NOLOAD"]))
        if isinstance(reply, wire.Error):
            await asyncio.sleep(0.003)
        elif reply[0] == b"LOAD":
            await self.load(client, node, session, key, asked_ns, reply[4])
        else:
            self.read(key, session, node, reply[1], asked_ns)

    def tags(self, key):
        return ["TAGS", 1, f"t{self.seed}.{key // OF_EACH}"] if key < TAGGED else []

    async def load(self, client, node, session, key, asked_ns, token):
        """Some loads take so long that much is invalidated meanwhile."""
        taken_ns = time.monotonic_ns()
        begun = self.begin(history.SET, key, session, node)
        begun["invoked_ns"] = asked_ns
        await asyncio.sleep(self.rng.choice([0, 0, 0, 0, 0, 0, 0, 0.01, 0.01, 0.4]))
        reply = await client.ask("CACHE.FILL", self.names[key], token, f"{begun['value']:x}", *self.tags(key))
        outcome = self.end(begun, reply, taken_ns)
        self.counts["fills" if outcome == history.OK else "refused fills"] += 1

    async def writer(self, client, node, session):
        """Some groups are invalidated seldom: what is wrong of them stays wrong for longer than the bound."""
        await asyncio.sleep(self.rng.random() * 0.02)
        group = self.rng.choice([0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3])
        turn = self.rng.random()
        if turn < 0.25:
            key = self.rng.randrange(KEYS)
            begun = self.begin(history.SET, key, session, node)
            words = ["CACHE.SET", self.names[key], f"{begun['value']:x}", *self.tags(key)] if key < TAGGED else [
                "SET", self.names[key], f"{begun['value']:x}"]
            self.counts["sets"] += 1
            self.end(begun, await client.ask(*words))
            return
        at = group * OF_EACH
        if turn < 0.35:
            kind, what, keys = "TAG", f"t{self.seed}.{group}", range(at, at + OF_EACH)
        elif turn < 0.45:
            kind, what, keys = "PREFIX", f"m:{self.seed}:p{group}:", range(TAGGED + at, TAGGED + at + OF_EACH)
        elif turn < 0.55:
            at = self.rng.randrange(KEYS)
            begun = self.begin(history.DELETE, at, session, node)
            words = self.rng.choice([["DEL"], ["CACHE.INVALIDATE", "KEY"]])
            self.end(begun, await client.ask(*words, self.names[at]))
            return
        else:
            return
        self.counts["invalidations"] += 1
        begun = [self.begin(history.DELETE, key, session, node) for key in keys]
        reply = await client.ask("CACHE.INVALIDATE", kind, what)
        for record in begun:
            self.end(record, reply)

    # --- the verdict ---

    def finish(self, path):
        self.ends = True
        self.thread.join(30)
        assert not self.thread.is_alive()
        nodes = [(T_MS * MS, node.name) for node in self.nodes]
        history.write(path, {"bound_ns": T_MS * MS, "slack_ns": 3 * MS, "keys": KEYS, "nodes": nodes, "prefix": "m:",
                             "began_ns": self.began_ns}, self.records)
        return judge(path)


class Rig:
    def __init__(self, stage, redis_server, proxy):
        self.stage, self.redis, self.proxy = stage, redis_server, proxy
        self.nodes = [configured(stage, CONFIG, "--l2-timeout", "500ms", l2=l2)
                      for l2 in (proxy.url, redis_server, redis_server)]
        for node in self.nodes:
            node.wait_synced()
        self.seed = 0

    @contextlib.contextmanager
    def judged(self):
        """The load that the block's trouble happens to."""
        self.seed += 1
        load = Load(self.nodes, self.seed)
        load.thread.start()
        until_s = time.monotonic() + SECONDS
        try:
            yield lambda: time.monotonic() < until_s
            until(lambda: time.monotonic() >= until_s, SECONDS + 1)
        finally:
            verdict = load.finish(self.stage.folder / f"managed{self.seed}.hist")
        assert verdict.code == 0, f"{verdict.rules}\n{verdict.story()}\n{load.counts}"
        assert load.counts["reads"] > 20 * SECONDS and load.counts["fills"] > 3 * SECONDS, load.counts
        assert load.counts["invalidations"] > 3 * SECONDS and not load.strange, (load.counts, load.strange)


@pytest.fixture(scope="module")
def rig(module_stage):
    redis_server = module_stage.redis(*DURABLE)
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        yield Rig(module_stage, redis_server, proxy)


def test_nothing_invalidated_is_shown_while_all_is_well(rig):
    with rig.judged():
        pass


def test_nor_when_nodes_are_killed(rig):
    with rig.judged() as goes_on:
        for node in itertools.cycle(rig.nodes[1:]):
            if not goes_on():
                break
            node.process.kill()
            node.start()
            node.wait_synced()


def test_nor_when_redis_is_killed_and_comes_back_with_its_data(rig):
    with rig.judged() as goes_on:
        while goes_on():
            rig.redis.process.kill()
            assert rig.redis.start()
            for node in rig.nodes:
                node.wait_synced(10)


def test_nor_when_the_bus_is_cut_or_loses_frames(rig):
    with rig.judged() as goes_on:
        rig.proxy.drop("frames", one_in=20)
        while goes_on():
            rig.proxy.reset("bus")
            until(lambda: rig.nodes[0].coherence_state() != "SYNCED" or not goes_on(), 5, "the bus is lost")
            rig.nodes[0].wait_synced(10)
        rig.proxy.no_rules()
