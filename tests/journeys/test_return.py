# SPDX-License-Identifier: BSD-3-Clause
"""L2 comes back after it was away: its breaker, what modes serve meanwhile, and a return without a stampede."""

import os
import re
import subprocess
import time

import pytest

from harness import ROOT, SLACK_S, until
from proxy import FaultProxy

pytestmark = pytest.mark.own

KEYS = 2000


def breaker(node):
    return re.search(r"breaker=([a-z-]+),", node.info()["l2_endpoint_0"]).group(1)


def test_the_breaker_opens_and_nobody_waits_for_it(stage):
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node(l2=proxy.url)
        with node.wire() as conn:
            node.wait_synced()
            assert breaker(node) == "closed"
            proxy.refuse()
            until(lambda: breaker(node) == "open", 10, "three failures")
            began = time.monotonic()
            replies = conn.pipeline([("GET", f"k{i}") for i in range(100)] + [("SET", "k", "v")])
            assert all(reply.startswith(b"L2DOWN") for reply in replies)
            assert time.monotonic() - began < 0.9 + SLACK_S, "l2-timeout is two seconds"
            assert f'terrace_l2_breaker{{endpoint="{proxy.url[8:]}",state="open"}} 1' in node.admin("/metrics")[1]
            proxy.heal()
            until(lambda: breaker(node) == "closed", 5, "one attempt closes it")
            until(lambda: conn.ask("SET", "k", "v") == b"OK", 5)


def waited(node):
    return int(re.search(r"terrace_reads_in_row_total (\d+)", node.admin("/metrics")[1]).group(1))


def sample(direct, seconds):
    """Reads of keys that Redis answered, per 100 ms."""
    reads, at = [], time.monotonic()
    last = int(re.search(rb"cmdstat_pttl:calls=(\d+)", direct.ask("INFO", "commandstats")).group(1))
    for _ in range(int(seconds * 10)):
        at += 0.1
        time.sleep(max(0, at - time.monotonic()))  # time is the subject
        now = int(re.search(rb"cmdstat_pttl:calls=(\d+)", direct.ask("INFO", "commandstats")).group(1))
        reads.append(now - last)
        last = now
    return reads


@pytest.mark.skipif("JOURNEY_SANITIZED" in os.environ, reason="a rate, over ten seconds: of the release build")
def test_what_comes_back_is_not_asked_for_everything_at_once(stage):
    """Reads that go to Redis: at most 1.5 times the usual rate after it is back, while every value of L1 is a suspect."""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy, redis_server.wire() as direct:
        node = stage.node("--threads", "1", l2=proxy.url)
        node.wait_synced()
        with node.wire() as conn:
            for at in range(0, KEYS, 500):
                names = [f"key:{i:012d}" for i in range(at, at + 500)]
                conn.pipeline([("SET", name, "v") for name in names] + [("GET", name) for name in names])
        load = subprocess.Popen([ROOT / "build" / "terrace-bench", "--target", f"127.0.0.1:{node.port}", "--rate", "8000",
                                 "--keys", str(KEYS), "--ratio", "9:1", "--duration", "15", "-c", "200"],
                                stdout=subprocess.PIPE, text=True)
        try:
            sample(direct, 4)  # what is usual is learned
            before = sample(direct, 1)
            proxy.refuse()
            until(lambda: node.info()["l2_state"] == "down", 5)
            time.sleep(1.8)  # longer than what L1 may serve
            proxy.heal()
            until(lambda: node.info()["l2_state"] == "up", 5)
            after = sample(direct, 2)
        finally:
            load.kill()
            load.wait()
        usual = sum(before) / len(before)
        print("before", before, "after", after, "in a row", waited(node))
        assert usual > 50, "the load is real"
        seconds = [sum(after[i:i + 10]) / 10 for i in range(len(after) - 9)]  # two ticks may fall into one sample
        assert max(seconds) <= 1.5 * usual * 1.1, (usual, after)
        assert waited(node) > 0
