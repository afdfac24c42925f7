# SPDX-License-Identifier: BSD-3-Clause
"""What measures coherence's costs: its tables are there and hold numbers, and what it says follows what happens."""

import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from harness import ROOT
from proxy import FaultProxy

pytestmark = pytest.mark.own

BENCH = pathlib.Path(os.environ.get("BENCH", ROOT / "build" / "release" / "terrace-bench"))
TITLES = ["How long another node serves the old value", "CACHE.INVALIDATE KEY, and with SYNC",
          "A strict SET to a bounded one", "Redis' CPU time per write", "Redis' CPU time while nobody asks",
          "The node's CPU time per hit", "CACHE.FETCH to GET, the node's CPU time per hit"]
DELAY_MS = 20


def propagation(*words, expect=0):
    done = subprocess.run([BENCH, "--propagation", "--json", *map(str, words)], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == expect, done.stderr
    return json.loads(done.stdout) if expect == 0 else done.stderr


def targets(*nodes):
    return ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def tables(text):
    """{title: rows, each a list of cells, without the head}; what was not measured says so and has none"""
    found = {}
    for section in text.split("\n## ")[1:]:
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()
                if line.startswith("|")]
        assert all(len(row) == len(rows[0]) for row in rows), section
        assert (len(rows) > 2) != ("\nNot measured: " in section), section
        found[section.splitlines()[0]] = rows[2:]
    return found


def numbers(cells):
    return [float(number) for cell in cells for number in re.findall(r"\d+\.\d+", cell)]


def test_quick_run_prints_every_table():
    done = subprocess.run([sys.executable, ROOT / "bench" / "coherence.py", "--quick"], capture_output=True, text=True,
                          timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = tables(done.stdout)
    assert list(found) == TITLES
    for words in ("commit ", " cores, Linux ", "Redis server v="):
        assert words in done.stdout
    for title, rows in found.items():
        for row in rows:
            # Whoever has the new value at the acknowledgement counts 0.
            positive = numbers(row[9:11] + row[12:]) if title == TITLES[0] else numbers(row)
            assert positive and all(number > 0 for number in positive), (title, row)
    assert [row[1] for row in found["Redis' CPU time per write"]] == 2 * ["none, straight to Redis", "1", "2", "5"]
    assert [row[0] for row in found["How long another node serves the old value"]] == 4 * ["2"] + 4 * ["5"]


def test_propagation_follows_a_slow_subscription(stage, redis_server):
    """Of two nodes that are written to elsewhere, only the one whose bus is 20 ms late serves the old value for so long."""
    writer, quick = stage.node(l2=redis_server), stage.node(l2=redis_server)
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        slow = stage.node(l2=proxy.url)
        proxy.delay(DELAY_MS, "down", who="bus")
        near = propagation("--targets", targets(writer, quick), "-n", 40)
        far = propagation("--targets", targets(writer, slow), "-n", 40)
        assert near["samples"] == far["samples"] == 40
        assert near["since_sent_ms"]["p50"] < DELAY_MS / 2
        for name in ("after_ack_ms", "since_sent_ms", "answered_ms"):
            assert far[name]["p50"] > DELAY_MS - 1, (name, far)
        assert far["at_ack"] <= 4  # an acknowledgement may be late, too
        stranger = propagation("--targets", targets(slow), "--redis", targets(redis_server), "-n", 10)
        assert stranger["after_ack_ms"]["p50"] > DELAY_MS - 1


def test_propagation_says_what_is_wrong(stage, redis_server):
    node = stage.node(l2=redis_server)
    assert "two of --targets, or --redis" in propagation("--targets", targets(node), expect=1)
    assert "CACHE.EXPLAIN was answered with: -ERR unknown command" in \
        propagation("--targets", targets(node, redis_server), "-n", 1, expect=1)
    assert "needs --targets" in propagation(expect=2)
    assert "does not go with" in propagation("--targets", targets(node), "--rate", 10, expect=2)
