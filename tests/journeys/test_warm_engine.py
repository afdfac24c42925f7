# SPDX-License-Identifier: BSD-3-Clause
"""What warming does to a node and its clients: it yields, pushes out nothing hot, and takes what can be kept only."""

import pytest

import warm
from harness import until
from proxy import FaultProxy

pytestmark = pytest.mark.own


def factor(node):
    return float(node.info("warming")["warm_yield"])


def warmed(node):
    return int(node.info("warming")["warm_keys_loaded"])


def goes_on(node):
    """So that there is something to yield with: a job that lasts."""
    job = warm.submit(node, {"pattern": "k*"}, mode="force", target="self", rate=500)
    until(lambda: warmed(node) > 0, 20, "it goes")
    return job


def test_warming_yields_to_a_slow_l2_and_comes_back(stage):
    redis_server = stage.redis()
    warm.fill(redis_server, [], "k", 20000)
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node("--warm-p99-target", "0", "--warm-l2-target", "60ms", l2=proxy.url)
        goes_on(node)
        proxy.delay(100, "down")
        until(lambda: factor(node) <= 0.5, 30, "it has halved")
        assert int(node.info("warming")["warm_l2_us"]) > 60000
        proxy.delay(0, "down")
        least = [1.0]

        def comes_back():
            now = factor(node)
            least[0] = min(least[0], now)
            return now > least[0] * 1.05
        until(comes_back, 60, "a tenth more")
        before = warmed(node)
        until(lambda: warmed(node) > before, 20, "it never stands still")


def test_warming_yields_to_clients_that_wait_in_the_node(stage):
    """Commands of thousands of keys: the turn of the loop in which they are answered takes longer than a millisecond."""
    redis_server = stage.redis()
    warm.fill(redis_server, [], "k", 20000)
    node = stage.node("--warm-p99-target", "1ms", "--warm-l2-target", "0", l2=redis_server)
    job = goes_on(node)
    keys = [f"k{i}" for i in range(20000)]
    with node.wire() as conn:
        def is_heavy():
            conn.ask("MGET", *keys)
            return factor(node) <= 0.5
        until(is_heavy, 60, "it has halved")
    assert warm.status(node, job)["state"] == "running"


def test_what_is_warmed_pushes_out_nothing_that_is_hot(stage):
    redis_server = stage.redis()
    warm.fill(redis_server, [], "hot", 2000, "h" * 400)
    warm.fill(redis_server, [], "k", 12000, "w" * 400)  # three times the memory
    node = stage.node("--memory", "2mb", "--warm-rate", "1000000", l2=redis_server)
    with node.client() as client:
        for _ in range(5):
            for i in range(2000):
                client.get(f"hot{i}")
        misses = int(node.info()["l1_misses"])
        done = warm.run(node, {"pattern": "k*"}, target="self")
        assert done["state"] == "done" and done["failed"] == 0 and done["loaded"] + done["skipped"] == 12000, done
        assert done["loaded"] > 500  # what was free is taken
        assert int(node.info()["l1_misses"]) == misses  # warming asks for nothing as a client does
        for i in range(2000):
            assert client.get(f"hot{i}") == b"h" * 400
    assert int(node.info()["l1_misses"]) == misses


def test_hashes_come_whole_and_what_cannot_be_kept_is_skipped(stage):
    redis_server = stage.redis()
    with redis_server.client() as client:
        client.hset("h", mapping={"f": "v", "g": "w"})
        client.hset("wide", mapping={f"f{i}": i for i in range(600)})
        client.rpush("list", 1, 2)
        client.set("big", b"x" * (8 << 20))
        client.set("s", "v")
    node = stage.node("--memory", "16mb", l2=redis_server)
    done = warm.run(node, {"keys": ["h", "wide", "list", "big", "s", "nosuch"]}, target="self")
    assert (done["loaded"], done["skipped"], done["absent"], done["failed"]) == (2, 3, 1, 0), done
    before = int(node.info()["l1_hits"])
    with node.client() as client:
        assert client.hget("h", "g") == b"w" and client.get("s") == b"v"
    assert int(node.info()["l1_hits"]) == before + 2
    assert warm.run(node, {"keys": ["h", "s"]}, target="self")["skipped"] == 2  # both stand


def test_a_node_that_takes_no_part_tells_how_the_queue_stands(stage):
    redis_server = stage.redis()
    warm.fill(redis_server, [], "k", 2000)
    works, rests = stage.node(l2=redis_server), stage.node("--warm-rate", "0", l2=redis_server)
    job = warm.submit(rests, {"pattern": "k*"}, rate=1)  # it lasts
    with works.client() as client:
        client.execute_command("CACHE.WARM", "REGISTER", '{"source": {"keys": ["k1"]}, "schedule": "every 300d"}')

    def stands(node):
        it = node.info("warming")
        return [it[name] for name in ("warm_takes_part", "warm_jobs_open", "warm_jobs_here", "standing_jobs")]
    until(lambda: stands(works) == ["1", "1", "queued=0,running=1,paused=0", "1"], 30, "one works")
    until(lambda: stands(rests) == ["0", "1", "queued=0,running=0,paused=0", "1"], 30, "the other knows of it")
    page = rests.admin("/metrics")[1]
    assert "terrace_warm_takes_part 0" in page and "terrace_warm_jobs_open 1" in page
    seen = warm.status(rests, job)
    assert seen["state"] == "running" and len(seen["nodes"]) == 1, "that of the node that works"

    warm.say(works, "CANCEL", job)
    until(lambda: stands(rests) == ["0", "0", "queued=0,running=0,paused=0", "1"], 30, "and of its end")
    with rests.client() as client:
        client.config_set("warm-rate", 1000)
    until(lambda: stands(rests)[0] == "1", 30, "it works now")
    warm.joined(redis_server, 2)
    with rests.client() as client:
        client.config_set("warm-rate", 0)
    warm.joined(redis_server, 1)
    until(lambda: stands(rests) == ["0", "0", "queued=0,running=0,paused=0", "1"], 30, "not any more")
