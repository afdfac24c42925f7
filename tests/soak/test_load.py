# SPDX-License-Identifier: BSD-3-Clause
"""R1, R12: nothing is wrong but the load."""

from harness import BOUND_S
from rig import agree, amount, judged, number
from watch import Watch


def test_r1_three_nodes_and_strangers(run):
    """A tenth writes, half of it by strangers; half of all reads go to a tenth of the keys."""
    redis_server = run.stage.redis()
    nodes = [run.node(redis_server) for _ in range(3)]
    watch = Watch(run.seed, keys=400)
    watch.fill(redis_server)
    watch.writes(redis_server, per_s=600, own_reads=False, pipeline=1)
    for node in nodes:
        watch.writes(node, per_s=400)
    with watch:
        watch.begin()
        for node in nodes:
            watch.reads(node, BOUND_S, per_s=4000, connections=2)
        run.lasts(amount(10, 3600))
    judged(run, watch, hits=sum(number(node, "l1_hits") for node in nodes))
    assert not watch.result.errors, watch.result.errors
    agree(nodes, redis_server, watch.keys)


def test_r12_sessions_under_eviction_pressure(run):
    """L1 holds a few of the values; what a connection wrote or saw it never sees older."""
    redis_server = run.stage.redis()
    nodes = [run.node(redis_server, "--memory", "4mb") for _ in range(2)]
    watch = Watch(run.seed, keys=4000)
    watch.fill(redis_server)
    for node in nodes:
        watch.writes(node, per_s=1500, padding=4000)
    with watch:
        watch.begin()
        for node in nodes:
            watch.reads(node, BOUND_S, per_s=3000, connections=2)
        run.lasts(amount(8, 3600))
    evictions = sum(number(node, "l1_evictions") for node in nodes)
    judged(run, watch, evictions=evictions)
    assert evictions > 1000, "there was no pressure"
    assert not watch.result.errors, watch.result.errors
