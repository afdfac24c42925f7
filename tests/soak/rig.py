# SPDX-License-Identifier: BSD-3-Clause
"""rig -- what the long runs have in common: their length, their servers, their line in the table.

    pytest tests/soak                         the short runs, as in `make test`
    SOAK_SCALE=1 pytest tests/soak            as long as the goals say (`make soak`); 0.1: a tenth of it
    TEST_SEED=7 ...                           the same keys and the same faults; timing is not replayed
    SOAK_REPORT=FILE ...                      also writes the table as Markdown, with commit and machine
"""

import os
import pathlib
import platform
import random
import subprocess
import time

import pytest

from harness import BOUND_S, ROOT, SEED, SLACK_S, until
from proxy import FaultProxy

SCALE = os.environ.get("SOAK_SCALE")
BEAT_S = BOUND_S / 4
L2_TIMEOUT_S = 0.5


def amount(short, full):
    """How much of something: of a `make test`, or of a `make soak`."""
    return short if SCALE is None else type(short)(max(short, full * float(SCALE)))


class Run:
    def __init__(self, stage, name):
        self.stage = stage
        words = name.removeprefix("test_").split("_")
        self.goal, self.title = words[0].upper(), " ".join(words[1:])
        self.seed = SEED
        self.rng = random.Random(self.seed)
        self.counts = {}
        self.max_ms = self.p999_ms = None
        self.verdict = "failed: did not end"
        self.proxies = []
        self.began = time.monotonic()
        self.seconds = 0.0

    # --- servers ---

    def proxy_to(self, server):
        proxy = FaultProxy(("127.0.0.1", server.port))
        proxy.seed(self.seed)
        self.proxies.append(proxy)
        return proxy

    def node(self, l2, *flags):
        timeouts = ["--l2-timeout", f"{int(L2_TIMEOUT_S * 1000)}ms", "--l2-relay-timeout", "1500ms"]
        return self.stage.node(*[word for word in timeouts if flags.count("--l2-timeout") == 0], *flags, l2=l2)

    def close(self):
        for proxy in self.proxies:
            proxy.stop()

    # --- time ---

    def lasts(self, seconds):
        """Lets the run go on; here time itself is what the run is made of."""
        time.sleep(max(0.0, seconds))

    # --- the result ---

    def count(self, **numbers):
        for name, number in numbers.items():
            self.counts[name] = self.counts.get(name, 0) + number

    def staleness(self, max_ms, p999_ms=None):
        self.max_ms = max(max_ms, self.max_ms or 0.0)
        if p999_ms is not None:
            self.p999_ms = max(p999_ms, self.p999_ms or 0.0)

    def passed(self):
        self._end("ok")

    def failed(self, excinfo):
        self._end("FAILED: " + (str(excinfo.value) or excinfo.typename).splitlines()[0][:120])

    def skipped(self, excinfo):
        self._end("not run: " + str(getattr(excinfo.value, "msg", excinfo.value))[:120])

    def _end(self, verdict):
        self.verdict, self.seconds = verdict, time.monotonic() - self.began

    def line(self):
        def shown(number):
            return "-" if number is None else f"{number:.1f}"

        def told(name, number):
            return f"{name.replace('_', ' ')} {number:,}" if isinstance(number, int) else \
                f"{name.replace('_', ' ')} {number:.3g}"
        counts = ", ".join(told(name, number) for name, number in self.counts.items())
        return [self.goal, self.title, counts or "-", shown(self.max_ms), shown(self.p999_ms), f"{self.seconds:.1f}",
                str(self.seed), self.verdict]


HEAD = ["goal", "run", "counts", "stale max ms", "stale p99.9 ms", "seconds", "seed", "verdict"]


def table(runs):
    rows = [HEAD, ["---"] * len(HEAD)] + [run.line() for run in sorted(runs, key=lambda run: int(run.goal[1:]))]
    return ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows]


def _said_by(*words):
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()


def write_report(runs):
    path = os.environ.get("SOAK_REPORT")
    if not path:
        return
    dirty = " with changes" if _said_by("git", "status", "--porcelain", "--untracked-files=no") else ""
    length = "short, as in `make test`" if SCALE is None else f"SOAK_SCALE={SCALE}"
    text = ["# Reliability: the runs on real processes", "",
            f"Commit {_said_by('git', 'rev-parse', '--short', 'HEAD')}{dirty}; {time.strftime('%Y-%m-%d')}; "
            f"{os.cpu_count()} cpus, {platform.system()} {platform.release()}; "
            f"{_said_by('redis-server', '--version').split(' sha')[0]}; length: {length}; T = {BOUND_S:g} s.", "",
            "Made by `make soak`. Staleness of a read: how long before it was asked a newer value had been acknowledged; "
            "0 in n reads beyond the bound means a rate below 3/n at 95 %.", "", *table(runs), ""]
    pathlib.Path(path).write_text("\n".join(text))


# --- what several runs look at ---

def number(node, name):
    """A number of INFO; a field a=1,b=2 as the sum of its numbers."""
    text = node.info()[name]
    return sum(int(part.partition("=")[2]) for part in text.split(",")) if "=" in text else int(text)


def hit_ratio(node, work):
    """Of what `work` does."""
    def seen():
        info = node.info()
        return int(info["l1_hits"]), int(info["l1_misses"])
    hits, misses = seen()
    work()
    hits_after, misses_after = seen()
    asked = hits_after - hits + misses_after - misses
    return (hits_after - hits) / asked if asked else 0.0


def need(condition, why):
    """Skips a run whose subject this build does not have."""
    if not condition:
        pytest.skip(why)


def synced(node, deadline_s=8.0):
    until(lambda: node.coherence_state() == "SYNCED", deadline_s, f"{node.name} is SYNCED")


def agree(nodes, redis_server, keys):
    """Nobody writes any more: every node says what Redis says."""
    with redis_server.wire() as direct:
        expected = direct.ask("MGET", *keys)
    for node in nodes:
        with node.wire() as conn:
            until(lambda conn=conn: conn.ask("MGET", *keys) == expected, BOUND_S + BEAT_S + SLACK_S,
                  f"{node.name} agrees with Redis")
