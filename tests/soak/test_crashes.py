# SPDX-License-Identifier: BSD-3-Clause
"""R2, R3, R4, R7: nodes and Redis are killed, stopped, and come back."""

import contextlib
import signal
import statistics
import time

import pytest

import wire
from harness import BOUND_S, SLACK_S, until
from load import Load
from rig import BEAT_S, L2_TIMEOUT_S, SCALE, amount, number, synced

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
    """Reads within the bound meanwhile; in the end every acknowledged write is in Redis."""
    redis_server = run.stage.redis()
    nodes = [run.node(redis_server) for _ in range(3)]
    redis_server.client().set("probe", "v")
    ready = []
    with Load(run, nodes, redis_server, "--writes", 200) as load:
        ends_at = time.monotonic() + amount(12, 600)
        while time.monotonic() < ends_at:
            run.lasts(2 - (ready[-1] if ready else 0))
            victim = run.rng.choice(nodes)
            victim.process.kill()
            ready.append(first_answer_s(victim, "probe"))
    counts = load.judged(kills=len(ready), ready_median_s=statistics.median(ready), ready_max_s=max(ready))
    assert counts["connections_lost"] >= len(ready)
    assert max(ready) < 0.2 + LATE_S and statistics.median(ready) < 0.2, ready


# --- R3 ---

@pytest.mark.parametrize("kept", ["nothing", "all"])
def test_r3_redis_killed_and_restarted(run, kept):
    """It comes back empty, or (appendfsync always) with everything that it had acknowledged."""
    redis_server = run.stage.redis(*(["--appendonly", "yes", "--appendfsync", "always"] if kept == "all" else []))
    nodes = [run.node(redis_server) for _ in range(2)]
    returns = []
    # --timeout: a connection to a node that waits for longer than any deadline is broken off, and counted.
    with Load(run, nodes, redis_server, "--timeout", 3, rate=5000) as load:
        for _ in range(amount(3, 30)):
            run.lasts(run.rng.uniform(0.5, 2.0))
            with load.death() if kept == "nothing" else contextlib.nullcontext():
                redis_server.process.kill()
                run.lasts(run.rng.choice([0.0, 0.0, 0.5, 1.5]))
                assert redis_server.start()
            began = time.monotonic()
            for node in nodes:
                synced(node)
            returns.append(time.monotonic() - began)
        run.lasts(1.0)
    load.judged(deaths=len(returns), synced_max_s=max(returns), epochs=number(nodes[0], "epochs_seen"))
    assert max(returns) < 5
    assert number(nodes[0], "epochs_seen") >= len(returns)


# --- R4 ---

def hits_s(conn, key, seconds):
    """The seconds that each GET took, in order of length, until an answer is an error, or the time is over."""
    took, ends_at = [], time.monotonic() + seconds
    while (began := time.monotonic()) < ends_at:
        if isinstance(conn.ask("GET", key), wire.Error):
            break
        took.append(time.monotonic() - began)
    assert took, f"the first GET of {key} is refused"
    return sorted(took)


def p99(ordered):
    return ordered[int(len(ordered) * 0.99)]


def asked_of(node):
    return number(node, "l1_hits") + number(node, "l1_misses")


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_r4_redis_away(run, how):
    """Hits go on within the bound, then errors; after the return SYNCED within 5 s and no stampede."""
    redis_server = run.stage.redis("--appendonly", "yes", "--appendfsync", "always")
    node = run.node(redis_server)
    keys, back_s = 1000, 0.0
    with Load(run, [node], redis_server, "--keys", keys, "--writes", 10, "--timeout", 3, rate=10_000) as load, \
            node.wire() as conn:
        redis_server.client().set("hot", "v")
        run.lasts(1.0)
        calm_s = hits_s(conn, "hot", 0.8)
        gets = redis_server.calls("get")
        run.lasts(1.0)
        normal = redis_server.calls("get") - gets
        gets = redis_server.calls("get") if how == "stopped" else 0
        until(lambda: number(node, "coherence_horizon_age_ms") < BEAT_S * 1000, 5, "most of the bound is left")
        redis_server.process.signal(signal.SIGSTOP) if how == "stopped" else redis_server.process.kill()
        away_s = hits_s(conn, "hot", 0.8)
        assert statistics.median(away_s) < L2_TIMEOUT_S / 5, "hits do not wait for Redis"
        until(lambda: isinstance(conn.ask("GET", "hot"), wire.Error), BOUND_S + SLACK_S, "and end with the bound")
        run.lasts(amount(3, 58))
        demand, began = asked_of(node), time.monotonic()
        redis_server.process.signal(signal.SIGCONT) if how == "stopped" else redis_server.start()
        synced(node)
        back_s = time.monotonic() - began
        demand, unsynced = asked_of(node) - demand, redis_server.calls("get") - gets
        until(lambda: conn.ask("GET", "hot") == b"v", 5, "reads are answered")
        run.lasts(1.0)
        returned = redis_server.calls("get") - gets - unsynced
    run.counts.update(hit_p99_us=p99(calm_s) * 1e6, away_p99_us=p99(away_s) * 1e6, back_s=back_s, l2_gets_a_second=normal,
                      asked_until_synced=demand, l2_gets_until_synced=unsynced, l2_gets_in_the_second_after=returned)
    load.judged()
    # A link whose attempts fail waits for 1.25 s at most, and the first that is let in calls the others: until SYNCED,
    # while nothing can be kept, demand reads last for a few round trips.
    assert back_s < (5 if how == "stopped" else 1.5) + LATE_S
    assert how == "stopped" or unsynced < 2 * keys + normal, "a stampede before SYNCED"
    # Every key once, and again what is written meanwhile or was read before the first beat came home; a Redis that was
    # stopped also runs what was sent into its silence.
    assert returned < (4 if how == "stopped" else 2) * keys + 2 * normal, "a stampede"


# --- R7 ---

def test_r7_node_stopped(run):
    """It wakes and is asked at once; what was announced meanwhile is still on its way. The clock alone must fence it."""
    redis_server = run.stage.redis()
    proxy = run.proxy_to(redis_server)
    node = run.node(proxy.url)
    keys = [f"paused:{i}" for i in range(200)]
    with redis_server.wire() as stranger:
        for turn in range(amount(1, 5)):
            stranger.pipeline([["SET", key, f"old {turn}"] for key in keys])
            with node.wire(timeout_s=60) as early, node.wire(timeout_s=60) as late:
                late.ask("CACHE.LASTSEQ")  # a marker: what the stranger wrote is announced by now
                until(lambda conn=late, turn=turn: conn.pipeline([["GET", key] for key in keys]) ==
                      [b"old %d" % turn] * len(keys), 5, "the old values are in L1")
                hits = number(node, "l1_hits")
                late.pipeline([["GET", key] for key in keys])
                assert number(node, "l1_hits") - hits == len(keys)
                node.process.signal(signal.SIGSTOP)
                proxy.freeze("down", who="bus")
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
                proxy.heal()
                synced(node)
                run.counts["synced_after_s"] = max(time.monotonic() - woken, run.counts.get("synced_after_s", 0))
    run.staleness(0.0)
