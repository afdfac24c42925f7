# SPDX-License-Identifier: BSD-3-Clause
"""R1, R12: nothing is wrong but the load. A history has 40 bytes a record, about 10 MB/s: the lengths are such that the
goals' numbers are reached (10^8 reads, 10^7 operations of sessions) and a disk is not filled."""

from load import Load
from rig import amount, number

# Nobody fails here, so whoever is late has a busy machine and is waited for.
PATIENT = ["--l2-timeout", "10s", "--l2-relay-timeout", "10s"]


def test_r1_three_nodes_and_strangers(run):
    """A tenth writes, a third of it by strangers; hot keys, short lives and deletions."""
    redis_server = run.stage.redis()
    nodes = [run.node(redis_server, *PATIENT) for _ in range(3)]
    with Load(run, nodes, redis_server, "--timeout", 30, "--px", 20, "--deletes", 20, "--mget", 50, rate=None) as load:
        run.lasts(amount(10, 700))
        hits = sum(number(node, "l1_hits") for node in nodes)
    counts = load.judged(hits=hits)
    assert counts["reads_refused"] + counts["writes_refused"] + counts["connections_lost"] == 0, counts


def test_r12_sessions_under_eviction_pressure(run):
    """L1 holds a part of the values; what a connection wrote or saw it never sees older."""
    redis_server = run.stage.redis()
    nodes = [run.node(redis_server, "--memory", "4mb", *PATIENT) for _ in range(2)]
    with Load(run, nodes, redis_server, "--keys", 5000, "--timeout", 30, "--value-size", 3000, "--sessions", rate=None) as load:
        run.lasts(amount(8, 300))
        evictions = sum(number(node, "l1_evictions") for node in nodes)
    counts = load.judged(evictions=evictions)
    assert evictions > 1000, "there was no pressure"
    assert counts["reads_refused"] + counts["writes_refused"] + counts["connections_lost"] == 0, counts


def test_r12_sessions_on_few_keys(run):
    """Half of the reads are MGETs, which often name a key twice: it must not go back within one answer, either."""
    redis_server = run.stage.redis()
    nodes = [run.node(redis_server) for _ in range(2)]
    with Load(run, nodes, redis_server, "--keys", 20, "--mget", 500, "--sessions", rate=None) as load:
        run.lasts(amount(5, 60))
    load.judged()
