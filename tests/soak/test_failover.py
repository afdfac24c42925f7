# SPDX-License-Identifier: BSD-3-Clause
"""R6: a network that parts a master and a node from its replica and everybody else, and a replica that is promoted."""

import time

import pytest

import wire
from harness import BOUND_S, until
from rig import amount

MAX_LAG_S = 1
# What the documents ask for: down-after > max-lag + 1 s (Redis looks once a second) + T + 1 s.
DOWN_AFTER_S = MAX_LAG_S + 1 + BOUND_S + 1
TURNS = amount(1, 20)


def replicate(run, *flags):
    """(master, replica, the proxy between them), in step."""
    master = run.stage.redis("--repl-ping-replica-period", "1", "--repl-diskless-sync-delay", "0",
                             "--shutdown-timeout", "0", *flags)
    proxy = run.proxy_to(master)
    replica = run.stage.redis("--replicaof", "127.0.0.1", str(proxy.port), "--repl-timeout", "3600", "--shutdown-timeout", "0")
    until(lambda: replica.client().info("replication")["master_link_status"] == "up", 10, "the replica follows")
    until(lambda: master.client().info("replication").get("slave0", {}).get("lag", 9) <= 1, 10, "the master knows")
    return master, replica, proxy


def part_and_promote(run, flags):
    """One split brain. What the node of the old master says once the other side has taken a write: [(seconds, reply)].
    """
    master, replica, proxy = replicate(run, *flags)
    node = run.node(master)
    with node.wire() as conn:
        until(lambda: conn.ask("SET", "k", "old") == b"OK", 5)
        until(lambda: replica.client().get("k") == b"old", 5, "it is replicated")
        proxy.black_hole("both")
        parted = time.monotonic()
        while time.monotonic() < parted + DOWN_AFTER_S:  # clients go on; this is what keeps L1 warm
            conn.ask("GET", "k")
            time.sleep(0.01)
        replica.client().execute_command("REPLICAOF", "NO", "ONE")
        until(lambda: replica.client().set("k", "new"), 5)
        written, seen = time.monotonic(), []
        while (asked := time.monotonic()) < written + BOUND_S + 1:
            seen.append((asked - written, conn.ask("GET", "k")))
            time.sleep(0.005)
        accepted = conn.ask("SET", "other", "v") == b"OK"
    for process in (node, master, replica):
        process.end()
    return seen, accepted


@pytest.mark.parametrize("replicas", ["fenced", "violation_shown"])
def test_r6_split_brain(run, replicas):
    """With min-replicas-to-write the old side falls silent before the new one begins; without it, it lies."""
    fenced = replicas == "fenced"
    flags = ["--min-replicas-to-write", "1", "--min-replicas-max-lag", str(MAX_LAG_S)] if fenced else []
    for _ in range(TURNS):
        seen, accepted = part_and_promote(run, flags)
        stale = [when for when, reply in seen if reply == b"old"]
        late = [when for when in stale if when > BOUND_S]
        run.count(reads=len(seen), stale_reads=len(stale), beyond_the_bound=len(late), writes_lost_to_come=int(accepted))
        run.staleness(max(stale, default=0) * 1000)
        if fenced:
            assert not late, f"old {late[-1]:.3f} s after the new master's write"
            assert all(isinstance(reply, wire.Error) for _, reply in seen) and not accepted, "it is silent by then"
        else:
            assert late and accepted, "the violation that min-replicas-to-write is there for does not show"
