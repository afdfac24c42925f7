# SPDX-License-Identifier: BSD-3-Clause
"""R2, R3, R4, R7: nodes and Redis are killed, stopped, and come back."""

import contextlib
import signal
import statistics
import time

import pytest

import wire
from harness import BOUND_S, SLACK_S, until
from rig import L2_TIMEOUT_S, SCALE, agree, amount, judged, number, synced
from watch import Watch

LATE_S = SLACK_S if SCALE is None else 0.0  # a `make test` shares its machine


# --- R2 ---

def first_answer_s(node, key):
    """Starts the node; the seconds from there to the first GET that is answered with the value."""
    began = time.monotonic()
    node.launch()
    while time.monotonic() - began < 10:
        with contextlib.suppress(OSError, wire.Closed):
            with node.wire(timeout_s=5) as conn:
                while isinstance(conn.ask("GET", key), wire.Error):
                    time.sleep(0.001)
                return time.monotonic() - began
        time.sleep(0.001)
    raise AssertionError(f"{node.name} does not answer again:\n{node.process.log()}")


def test_r2_nodes_killed_again_and_again(run):
    redis_server = run.stage.redis()
    nodes = [run.node(redis_server) for _ in range(3)]
    watch = Watch(run.seed, keys=300)
    watch.fill(redis_server)
    for node in nodes:
        watch.writes(node, per_s=500)
    ready = []
    with watch:
        watch.begin()
        for node in nodes:
            watch.reads(node, BOUND_S, per_s=1500)
        ends_at = time.monotonic() + amount(12, 600)
        while time.monotonic() < ends_at:
            run.lasts(2 - (ready[-1] if ready else 0))
            victim = run.rng.choice(nodes)
            victim.process.kill()
            ready.append(first_answer_s(victim, watch.keys[0]))
    with redis_server.wire() as direct:
        values = direct.ask("MGET", *watch.keys)
    lost = [key for key, value in zip(watch.keys, values) if int(value) < watch.result.acked[key]]
    judged(run, watch, kills=len(ready), lost_writes=len(lost), ready_median_s=statistics.median(ready),
           ready_max_s=max(ready))
    assert not lost, f"acknowledged and not in Redis: {lost[:3]}"
    assert max(ready) < 0.2 + LATE_S and statistics.median(ready) < 0.2, ready
    agree(nodes, redis_server, watch.keys)


# --- R3 ---

@pytest.mark.parametrize("kept", ["nothing", "all"])
def test_r3_redis_killed_and_restarted(run, kept):
    """It comes back empty, or (appendfsync always) with everything."""
    redis_server = run.stage.redis(*(["--appendonly", "yes", "--appendfsync", "always"] if kept == "all" else []))
    nodes = [run.node(redis_server) for _ in range(2)]
    watch = Watch(run.seed, keys=200)
    watch.fill(redis_server)
    for node in nodes:
        watch.writes(node, per_s=300)
    returns = []
    with watch:
        watch.begin()
        for node in nodes:
            watch.reads(node, BOUND_S, per_s=1500)
        for _ in range(amount(3, 30)):
            run.lasts(run.rng.uniform(0.5, 2.0))
            with watch.loss() if kept == "nothing" else contextlib.nullcontext():
                redis_server.process.kill()
                run.lasts(run.rng.choice([0.0, 0.0, 0.5, 1.5]))
                assert redis_server.start()
            began = time.monotonic()
            for node in nodes:
                synced(node)
            returns.append(time.monotonic() - began)
        run.lasts(1.0)
    judged(run, watch, deaths=len(returns), synced_max_s=max(returns), longest_wait_s=watch.result.longest_s,
           refused=sum(watch.result.errors.values()))
    assert max(returns) < 5
    assert watch.result.longest_s < L2_TIMEOUT_S + 2 * SLACK_S, "a client waits for nothing"
    if kept == "all":
        with redis_server.wire() as direct:
            values = direct.ask("MGET", *watch.keys)
        lost = [key for key, value in zip(watch.keys, values) if int(value) < watch.result.acked[key]]
        assert not lost, f"acknowledged, synced to disk and not there: {lost[:3]}"
    agree(nodes, redis_server, watch.keys)


# --- R4 ---

def hits_p99_s(conn, key, seconds):
    """(p99 of the seconds that GET took, how many were asked) until an answer is an error, or the time is over."""
    took, ends_at = [], time.monotonic() + seconds
    while (began := time.monotonic()) < ends_at:
        if isinstance(conn.ask("GET", key), wire.Error):
            break
        took.append(time.monotonic() - began)
    took.sort()
    return took[int(len(took) * 0.99)], len(took)


def gets_at(redis_server):
    return redis_server.calls("get")


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_r4_redis_away(run, how):
    """Hits go on within the bound, then errors; after the return SYNCED within 5 s and no stampede."""
    redis_server = run.stage.redis("--appendonly", "yes", "--appendfsync", "always")
    node = run.node(redis_server)
    watch = Watch(run.seed, keys=300)
    watch.fill(redis_server)
    watch.writes(node, per_s=100, own_reads=False)
    with watch, node.wire() as conn:
        watch.begin()
        watch.reads(node, BOUND_S, per_s=800, connections=8)
        redis_server.client().set("hot", "v")
        run.lasts(1.0)
        calm_s, asked = hits_p99_s(conn, "hot", 0.8)
        gets = gets_at(redis_server)
        run.lasts(1.0)
        normal = gets_at(redis_server) - gets
        gets = gets_at(redis_server)
        redis_server.process.signal(signal.SIGSTOP) if how == "stopped" else redis_server.process.kill()
        away_s, asked_away = hits_p99_s(conn, "hot", 0.8)
        assert asked_away > asked / 4, "hits do not wait for Redis"
        until(lambda: isinstance(conn.ask("GET", "hot"), wire.Error), BOUND_S + SLACK_S, "and end with the bound")
        run.lasts(amount(3, 58))
        redis_server.process.signal(signal.SIGCONT) if how == "stopped" else redis_server.start()
        demand, began = watch.result.reads, time.monotonic()
        synced(node)
        back_s, unsynced = time.monotonic() - began, gets_at(redis_server) - (gets if how == "stopped" else 0)
        until(lambda: conn.ask("GET", "hot") == b"v", 5, "reads are answered")
        run.lasts(1.0)
        returned = gets_at(redis_server) - (gets if how == "stopped" else 0) - unsynced
        demand = watch.result.reads - demand
    run.counts.update(hit_p99_us=calm_s * 1e6, away_p99_us=away_s * 1e6, back_s=back_s, l2_gets_a_second=normal,
                      l2_gets_until_synced=unsynced, l2_gets_in_the_second_after=returned, reads_meanwhile=demand)
    judged(run, watch, longest_wait_s=watch.result.longest_s)
    assert set(watch.result.errors) <= {"L2DOWN", "STALE", "UNKNOWN", "LOADING"}, watch.result.errors
    assert back_s < 5
    assert watch.result.longest_s < 3 * L2_TIMEOUT_S + SLACK_S
    # Every key once, and again what is written meanwhile or was read before the first beat came home.
    assert returned < 2 * len(watch.keys) + 2 * max(normal, 100), "a stampede"
    assert unsynced < demand, "reads are single-flighted while nothing may be kept"


# --- R7 ---

def test_r7_node_stopped(run):
    """What a node says first when it wakes was asked after the write; old only within the bound."""
    redis_server = run.stage.redis()
    node = run.node(redis_server)
    keys = [f"paused:{i}" for i in range(200)]
    with redis_server.wire() as stranger:
        for turn in range(amount(1, 5)):
            stranger.pipeline([["SET", key, f"old {turn}"] for key in keys])
            with node.wire(timeout_s=60) as early, node.wire(timeout_s=60) as late:
                until(lambda conn=late, turn=turn: conn.pipeline([["GET", key] for key in keys]) ==
                      [b"old %d" % turn] * len(keys), 5, "the old values are in L1")
                hits = number(node, "l1_hits")
                late.pipeline([["GET", key] for key in keys])
                assert number(node, "l1_hits") - hits == len(keys)
                node.process.signal(signal.SIGSTOP)
                stranger.pipeline([["SET", key, f"new {turn}"] for key in keys])
                written = time.monotonic()
                run.lasts(BOUND_S + 0.01)  # from here on the old value is too old
                early.send(b"".join(wire.encode(["GET", key]) for key in keys))
                run.lasts(amount(3.0, 30.0) - BOUND_S)
                node.process.signal(signal.SIGCONT)
                woken = time.monotonic()
                for reply in [early.read() for _ in keys] + late.pipeline([["GET", key] for key in keys]):
                    run.count(reads=1)
                    assert reply == b"new %d" % turn or isinstance(reply, wire.Error), \
                        f"{reply!r}, {woken - written:.3f} s after the write"
                synced(node)
                run.counts["synced_after_s"] = max(time.monotonic() - woken, run.counts.get("synced_after_s", 0))
    run.staleness(0.0)
