# SPDX-License-Identifier: BSD-3-Clause
"""R41 to R44: nodes end, are killed and fall silent under an application of libterrace that retries (pound.c): it sees no error.
How long it is kept waiting each time stands in the table (stall: until every thread had an answer again)."""

import contextlib
import json
import pathlib
import statistics
import subprocess
import threading
import time

import pytest

from harness import SLACK_S, START_DEADLINE_S, TERRACED, until
from rig import SCALE, amount

PROGRAM = pathlib.Path(TERRACED).parent / "tests" / "soak" / "pound"
THREADS, KEYS, WRITE_PERCENT, PAUSE_US = 4, 500, 20, 1000
TIMEOUT_S = 8.0
LATE_S = SLACK_S if SCALE is None else 0.0
HOLD_DOWN_S = 1.0


class Pound:
    """The application, from `with` to its end; then `said` is its report."""

    def __init__(self, endpoints, **options):
        options = {"timeout": f"{int(TIMEOUT_S * 1000)}ms", "fail": "closed", "when-down": "wait", "retries": 100, **options}
        words = "&".join(f"{name.replace('_', '-')}={value}" for name, value in options.items())
        self.argv = [str(PROGRAM), f"endpoints={','.join(endpoints)}&{words}", THREADS, KEYS, WRITE_PERCENT, PAUSE_US]
        self.said, self.errors = None, []

    def __enter__(self):
        self._process = subprocess.Popen(list(map(str, self.argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE, text=True, bufsize=1)
        self._reader = threading.Thread(target=lambda: self.errors.extend(self._process.stderr), daemon=True)
        self._reader.start()
        assert self._process.stdout.readline() == "ready\n", self.errors
        return self

    def mark(self):
        self._process.stdin.write(f"mark {time.monotonic_ns()}\n")
        self._process.stdin.flush()

    def __exit__(self, failure, *_):
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            text = self._process.stdout.read()
            code = self._process.wait(TIMEOUT_S + START_DEADLINE_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()
        if failure is None:
            assert code == 0, self.errors
            self.said = json.loads(text)

    def judged(self, run, **counts):
        """No error, no wrong value; the numbers go into the table."""
        said = self.said
        bad = {name: number for kind in ("reads", "writes") for name, number in said[kind].items()
               if name not in ("OK", "MISS", "STALE", "NEGATIVE")}
        stalls = sorted(said["stalls_ms"])
        run.count(calls=said["calls"], errors=sum(bad.values()), **counts, retries=said["retries"],
                  call_p50_ms=said["p50_ms"], call_max_ms=said["max_ms"], stall_p50_ms=statistics.median(stalls), stall_p99_ms=stalls[int(0.99 * (len(stalls) - 1) + 0.5)], stall_max_ms=stalls[-1])
        assert bad == {} and said["wrong"] == 0, (bad, self.errors)
        assert all(stall > 0 for stall in stalls), "the application went on after each"
        return stalls


def endpoint(server, region=None):
    return f"127.0.0.1:{server.port}" + (f"@{region}" if region else "")


def starts_again(node):
    node.launch()
    until(node.answers_ping, START_DEADLINE_S, f"{node.name} answers again")


# --- R41, R42 ---

def test_r41_nodes_restarted_one_after_the_other(run):
    """SIGTERM: a node says goodbye, answers what it has, and goes."""
    redis_server = run.stage.redis()
    nodes = [run.node(redis_server) for _ in range(3)]
    with Pound([endpoint(node) for node in nodes]) as pound:
        for turn in range(amount(3, 300)):
            node = nodes[turn % 3]
            run.lasts(0.5)
            pound.mark()
            assert node.process.end() == 0
            starts_again(node)
        run.lasts(0.5)
    stalls = pound.judged(run, restarts=amount(3, 300))
    assert statistics.median(stalls) < 100 + 1000 * LATE_S, stalls


@pytest.mark.parametrize("count", [2, 3])
def test_r42_nodes_killed_every_two_seconds(run, count):
    redis_server = run.stage.redis()
    nodes = [run.node(redis_server) for _ in range(count)]
    kills = 0
    with Pound([endpoint(node) for node in nodes]) as pound:
        ends_at = time.monotonic() + amount(4, 600)
        while time.monotonic() < ends_at:
            began = time.monotonic()
            node = run.rng.choice(nodes)
            pound.mark()
            node.process.kill()
            kills += 1
            starts_again(node)
            run.lasts(2 - (time.monotonic() - began))
    stalls = pound.judged(run, kills=kills)
    assert statistics.median(stalls) < 250 + 1000 * LATE_S, stalls


# --- R43 ---

def test_r43_a_node_falls_silent_and_nobody_is_told(run):
    """Its host died, or the way there: no connection is reset, nothing is refused."""
    redis_server = run.stage.redis()
    nodes = [run.node(redis_server) for _ in range(3)]
    proxies = [run.proxy_to(node) for node in nodes]
    with Pound([f"127.0.0.1:{proxy.port}" for proxy in proxies]) as pound:
        for _ in range(amount(2, 100)):
            proxy = run.rng.choice(proxies)
            run.lasts(0.5)
            pound.mark()
            proxy.black_hole("both")
            run.lasts(1.5 if SCALE is None else 3.0)
            proxy.heal()
    stalls = pound.judged(run, holes=amount(2, 100))
    assert stalls[-1] < 1000 * (1.5 + LATE_S), stalls


# --- R44 ---

def test_r44_a_region_dies_and_comes_back(run):
    """Both nodes of the better one; after the hold-down its nodes are asked again, and the others are not."""
    redis_server = run.stage.redis()
    near, far = ([run.node(redis_server) for _ in range(2)] for _ in range(2))
    endpoints = [endpoint(node, "near") for node in near] + [endpoint(node, "far") for node in far]
    rounds = amount(1, 50)

    def asked(nodes):
        return sum(int(node.info()["total_commands_processed"]) for node in nodes)
    with Pound(endpoints, regions="near:1,far:2", hold_down=f"{int(HOLD_DOWN_S * 1000)}ms") as pound:
        for _ in range(rounds):
            run.lasts(0.5)
            pound.mark()
            for node in near:
                node.process.kill()
            before = asked(far)
            until(lambda: asked(far) > before + 200, TIMEOUT_S + 10 * LATE_S, "the other region is asked")
            for node in near:
                starts_again(node)
            before = asked(near)
            until(lambda: asked(near) > before + 1000, 10 * HOLD_DOWN_S + 10 * LATE_S, "back in the better region")
    stalls = pound.judged(run, regions_killed=rounds)
    moves = [text.split(" ", 1)[1] for text in pound.said["history"] if "fail" in text and "from" in text]
    assert moves[-2 * rounds:] == ["far failover from near", "near failback from far"] * rounds, pound.said["history"]
    assert statistics.median(stalls) < 1000 * (1 + LATE_S), stalls
