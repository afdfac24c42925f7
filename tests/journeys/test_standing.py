# SPDX-License-Identifier: BSD-3-Clause
"""Standing warm jobs: by the clock, one run of the cluster each time; and before expiry, with each miss that does not come."""

import json
import time

import pytest
import redis as redis_py

import warm
from harness import until

pytestmark = pytest.mark.own


def register(node, source, **options):
    with node.client() as client:
        return client.execute_command("CACHE.WARM", "REGISTER", json.dumps({"source": source, **options}))


def runs(node, job):
    """What it has submitted so far, the oldest first."""
    return sorted((each for each in warm.jobs(node) if each["id"] > job), key=lambda each: each["id"])


def test_each_time_one_node_submits_one_run_whoever_is_there(stage):
    redis_server = stage.redis()
    nodes = [stage.node(l2=redis_server) for _ in range(2)]
    warm.joined(redis_server, 2)
    client = redis_server.client()
    client.mset({f"k{i}": "value" for i in range(5)})
    job = register(nodes[0], {"keys": [f"k{i}" for i in range(5)]}, schedule="every 1s", mode="force", priority=6)
    seen = warm.status(nodes[1], job)
    assert (seen["state"], seen["schedule"]) == ("standing", "every 1s")
    assert seen["next_at_ms"] % 1000 == 0 and seen["next_at_ms"] > seen["submitted_at_ms"]

    until(lambda: len(runs(nodes[1], job)) >= 2, 20, "two runs")
    nodes[0].end()
    before = len(runs(nodes[1], job))
    until(lambda: len(runs(nodes[1], job)) >= before + 1, 30, "one more, by the other")

    warm.say(nodes[1], "PAUSE", job)
    until(lambda: warm.status(nodes[1], job)["state"] == "paused", 5, "paused")
    paused = runs(nodes[1], job)
    assert len(paused) <= paused[-1]["submitted_at_ms"] // 1000 - seen["next_at_ms"] // 1000 + 1, "no second has two, though one may be late"
    assert all(run["source"] == "keys 5" and run["priority"] == 6 and run["schedule"] == "" for run in paused)
    fired = int(nodes[1].info()["standing_runs_submitted"])
    assert 1 <= fired <= len(paused)
    last = warm.ended(nodes[1], paused[-1]["id"], 30)
    assert last["state"] == "done" and last["loaded"] >= 5

    warm.say(nodes[1], "RESUME", job)
    assert warm.status(nodes[1], job)["state"] == "standing"
    warm.say(nodes[1], "CANCEL", job)
    assert warm.status(nodes[1], job)["state"] == "cancelled"
    until(lambda: nodes[1].info()["standing_jobs"] == "0", 10, "nobody has it any more")


def test_what_is_no_standing_job_is_refused(stage):
    node = stage.node(l2=stage.redis())
    node.wait_synced()
    client = node.client()
    hot, pattern = {"hot": 5}, {"pattern": "*"}
    for source, options, error in (
            (pattern, {"schedule": "every 5w"}, r"\$.schedule: '5w' where a span as 30s, 5m, 2h or 1d, of at most 366d, was expected"),
            (pattern, {"schedule": "08:55 monday"}, r"\$.schedule: 'monday' where a day or days as mon, mon-fri or sat,sun was"),
            (pattern, {}, r"\$.schedule: a schedule as"),
            (hot, {"before_expiry": "20%", "schedule": "every 5m"}, r"\$.before_expiry: not with a schedule"),
            (pattern, {"before_expiry": "20%"}, r"\$.before_expiry: only with the source hot")):
        with pytest.raises(redis_py.ResponseError, match=error):
            client.execute_command("CACHE.WARM", "REGISTER", json.dumps({"source": source, **options}))
    for schedule in ("08:55 mon-fri", "23:30 sat,sun +02:00", "every 1d"):
        job = client.execute_command("CACHE.WARM", "REGISTER", json.dumps({"source": {"pattern": "a:*"}, "schedule": schedule}))
        shown = warm.status(node, job)
        assert shown["schedule"] == schedule and 0 < shown["next_at_ms"] - shown["submitted_at_ms"] <= 7 * 24 * 3600 * 1000


NAMES = [f"k{i}" for i in range(20)]
LIFE_S = 3.0


def read_all(conn):
    assert all(reply == b"value" for reply in conn.pipeline([("GET", name) for name in NAMES]))


def figures(node):
    info = node.info()
    return int(info["l1_misses"]), int(info["prevented_misses"])


def watched(node, conn):
    """The job for whose sake keys are read early: all are read once by a client, and are known to be hot."""
    job = register(node, {"hot": 20}, before_expiry="66%")
    read_all(conn)
    until(lambda: node.info()["early_keys_watched"] == "20", 10, "the list of hot keys was read", every_s=0.02)
    until(lambda: node.l1_items() == len(NAMES), 10, "and what had ended by then is here again")
    assert figures(node) == (20, 0)
    return job


def a_life_passes():
    """Without a job all that stands now would have ended."""
    ends = time.monotonic() + LIFE_S
    until(lambda: time.monotonic() > ends, LIFE_S + 10, "a life has passed")


def test_misses_that_do_not_come_are_counted_one_by_one(stage):
    """Values of L2 live for three seconds in L1. The hottest twenty are read anew in the last two thirds of that: so there
    is no miss behind the first of each, and each one that there would have been is counted once."""
    redis_server = stage.redis()
    redis_server.client().mset({name: "value" for name in NAMES})
    node = stage.node("--ttl", f"{int(LIFE_S * 1000)}ms", l2=redis_server)
    node.wait_synced()
    conn = node.wire()
    job = watched(node, conn)
    assert warm.status(node, job)["schedule"] == "before expiry 66%"
    a_life_passes()
    read_all(conn)
    read_all(conn)
    assert figures(node) == (20, 20), "no miss more, and twenty less"
    until(lambda: warm.status(node, job)["prevented"] == 20, 10, "STATUS has it, too")
    assert "terrace_warm_prevented_misses_total 20" in node.admin("/metrics")[1]

    # What was renewed in L2 ends here, and is read anew when the old one would have been: no later reader waits for it.
    announced = int(node.info()["announced_keys"])
    redis_server.client().mset({name: "other" for name in NAMES[:5]})
    until(lambda: int(node.info()["announced_keys"]) >= announced + 5 and node.l1_items() == 20, 10, "they are here again")
    assert conn.pipeline([("GET", name) for name in NAMES[:5]]) == [b"other"] * 5
    assert figures(node) == (20, 25)

    warm.say(node, "CANCEL", job)
    until(lambda: node.info()["early_keys_watched"] == "0", 5, "nothing is watched")


def start_with(stage, redis_server, settings, count=1):
    """Nodes whose keys under k have these settings."""
    path = stage.folder / "early.conf"
    path.write_text(f"[namespace early]\nprefix = k\n{settings}")
    nodes = [stage.node(str(path), l2=redis_server) for _ in range(count)]
    for node in nodes:
        node.wait_synced()
    return nodes


def test_of_mode_ttl_what_l2_has_by_then_is_here_before_the_old_one_ends(stage):
    """Nobody announces changes there: the old value is served until its end, and no later."""
    redis_server = stage.redis()
    redis_server.client().mset({name: "value" for name in NAMES})
    node, = start_with(stage, redis_server, "mode = ttl\nttl = 3s\n")
    with node.wire() as conn:
        watched(node, conn)
        redis_server.client().mset({name: "other" for name in NAMES})
        a_life_passes()
        assert conn.pipeline([("GET", name) for name in NAMES]) == [b"other"] * 20
        assert figures(node) == (20, 20), "no client waited for L2"


def test_what_another_node_has_loaded_of_a_managed_key_is_here_before_anybody_asks(stage):
    """What is not loaded anew by some application ends, and that is no miss that was prevented."""
    redis_server = stage.redis()
    here, there = start_with(stage, redis_server, "format = managed\nttl = 8s\njitter = 0\n", count=2)
    with here.wire() as conn, there.wire() as other:
        for name in NAMES:
            assert other.ask("SET", name, "value") == b"OK"
        here.catch_up()
        watched(here, conn)
        loaded = NAMES[:15]
        seqs = {name: other.ask("CACHE.SET", name, "anew") for name in loaded}

        def are_here():
            for name, seq in tuple(seqs.items()):
                known = conn.ask("CACHE.EXPLAIN", name)
                it = dict(zip(known[::2], known[1::2]))
                if it[b"tier"] == b"l1" and it[b"version"] >= seq:
                    del seqs[name]
            return not seqs
        until(are_here, 10, "what was loaded is in L1")
        assert conn.pipeline([("GET", name) for name in loaded]) == [b"anew"] * 15
        assert figures(here) == (20, 15)
