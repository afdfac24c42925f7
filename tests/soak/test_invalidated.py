# SPDX-License-Identifier: BSD-3-Clause
"""R5 for managed keys: what was invalidated is not shown, hard, while nodes are killed and paused, Redis is killed and comes back
with its data, and the bus is cut, silent, and loses frames (tests/journeys/test_history_managed.py has the load and says
what is judged)."""

import signal
import time

from rig import amount
from test_history_managed import CONFIG, DURABLE, Load
from test_managed import configured

TURN_S = 3.0


class Troubles:
    def __init__(self, run, redis_server, proxy, nodes):
        self.run, self.redis, self.proxy, self.nodes = run, redis_server, proxy, nodes

    def node_is_killed(self):
        node = self.run.rng.choice(self.nodes[1:])
        node.process.kill()
        node.start()
        node.wait_synced(10)

    def node_is_paused(self):
        node = self.run.rng.choice(self.nodes)
        node.process.signal(signal.SIGSTOP)
        self.run.lasts(self.run.rng.random())
        node.process.signal(signal.SIGCONT)

    def redis_is_killed(self):
        self.redis.process.kill()
        assert self.redis.start()
        for node in self.nodes:
            node.wait_synced(10)

    def bus_is_cut(self):
        self.proxy.reset("bus")

    def bus_is_silent(self):
        self.proxy.black_hole("down", who="bus")
        self.run.lasts(self.run.rng.random())
        self.proxy.heal()

    def some(self):
        return self.run.rng.choice([self.node_is_killed, self.node_is_paused, self.redis_is_killed, self.bus_is_cut,
                                    self.bus_is_silent])


def test_r5_managed_keys_under_all_of_it(run):
    redis_server = run.stage.redis(*DURABLE)
    proxy = run.proxy_to(redis_server)
    nodes = [configured(run.stage, CONFIG, "--l2-timeout", "500ms", l2=l2) for l2 in (proxy.url, redis_server, redis_server)]
    troubles = Troubles(run, redis_server, proxy, nodes)
    path = run.stage.folder / "managed.hist"
    for turn in range(amount(1, 120)):
        for node in nodes:
            node.wait_synced(10)
        load = Load(nodes, (run.seed + turn) % (1 << 20))
        load.thread.start()
        proxy.drop("frames", one_in=50)
        until_s = time.monotonic() + TURN_S
        while time.monotonic() < until_s:
            troubles.some()()
            run.lasts(run.rng.random() / 2)
        proxy.no_rules()
        proxy.heal()
        verdict = load.finish(path)
        run.count(reads=load.counts["reads"], writes=load.counts["sets"] + load.counts["fills"],
                  invalidations=load.counts["invalidations"], refused=load.counts["refused fills"],
                  violations=verdict.found.get("violations", 0))
        assert verdict.code == 0, f"{verdict.rules}\n{verdict.story()}\n{load.counts}"
        assert load.counts["reads"] > 100 and not load.strange, (load.counts, load.strange)
        path.unlink()
