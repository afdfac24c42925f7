#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""warm_start -- a node that starts cold beside ones that start warm, on a real trace, second by second (`make bench-warm-start`).

    bench/warm_start.py [--rate 40000] [--memory 48mb] [--svg FILE] [--smoke] TRACE

Of the trace (lines `timestamp key size ttl`, .xz is unpacked) the first part is what was asked before, and the rest what is asked
of the node that has just come, at a fixed rate (open loop: a slow answer holds nobody back). L2 has every key. Four ways to start:

    cold       ready at once, with nothing
    snapshot   the node served the first part, wrote its snapshot on SIGTERM, and starts again
    peers      another node served the first part; a new one joins, and loads what is held there before it is ready
    job        a new node; a warm job loads the hottest keys of a log (the first part) before it is given clients

Prints Markdown for bench/results; progress goes to standard error. From trigger (the process is started) to ready (/readyz says
200; of the job: it is done) is measured on the same clock as the seconds of the load, which begins when the node is ready.
"""
import argparse
import collections
import lzma
import pathlib
import shlex
import signal
import sys
import tempfile
import threading
import time

import plot
from measure import Stage, address, bench, fail, finish, has_told_all, load_average, machine, progress, start_bench, table, until

import warm  # measure knows where the journeys lie
from harness import info_fields

READY_GOAL_S = 60
COHERENCE_DB = 15
ITEM = 256  # bytes of a key and its value
SAMPLE_S = 1.0


# --- the trace ---

def open_trace(path):
    return lzma.open(path, "rt") if str(path).endswith(".xz") else open(path, encoding="utf-8")


class Trace:
    """Files in `folder`: what was asked before, what is asked then, and each key once."""

    def __init__(self, path, folder, part, limit):
        with open_trace(path) as file:
            lines = [line for line in file if line.strip() and not line.startswith("#")][:limit]
        cut = int(len(lines) * part)
        if not 0 < cut < len(lines):
            fail(f"{path}: {len(lines)} requests cannot be cut at {part}")
        self.name = pathlib.Path(path).name
        self.before, self.then, self.keys = (folder / name for name in ("before.txt", "then.txt", "keys.txt"))
        self.before.write_text("".join(lines[:cut]))
        self.then.write_text("".join(lines[cut:]))
        every = {line.split()[1]: line for line in reversed(lines)}
        self.keys.write_text("".join(every.values()))
        self.counts = cut, len(lines) - cut, len(every)
        heard = collections.Counter(line.split()[1] for line in lines[:cut])
        self.before_keys = len(heard)


# --- ways to start ---

class Start:
    """One way: `node` is up, `ready_s` after the trigger."""

    def __init__(self, stage, redis, trace, arguments):
        self.stage, self.redis, self.trace, self.arguments = stage, redis, trace, arguments
        self.node, self.ready_s, self.told = None, None, ""
        self.folder = stage.folder / type(self).__name__
        self.folder.mkdir()

    def flags(self, *more):
        return ["--threads", "1", "--memory", self.arguments.memory, "--policy", "density", "--hot-keys", self.arguments.hot_keys, *more]

    def launch(self, node):
        """Starts it and waits for /readyz; sets ready_s."""
        began = time.monotonic()
        node.launch()
        until(lambda: node.admin("/readyz")[0] == 200 or not node.process.alive(), 120, "ready", every_s=0.01)
        if not node.process.alive():
            fail(node.process.log())
        self.node, self.ready_s = node, time.monotonic() - began
        self.told = ", ".join(line for line in node.admin("/readyz?verbose")[1].splitlines()[1:] if line.startswith("warm"))

    def former(self, *more):
        """A node that has served what was asked before, and nothing of another way."""
        self.alone()
        node = self.stage.node(*self.flags(*more), l2=self.redis)
        replay(node, self.trace.before)
        return node

    def alone(self):
        """No other node has left anything."""
        self.redis.client(db=COHERENCE_DB).delete("terrace:hot")


class Cold(Start):
    name = "cold"

    def run(self):
        self.alone()
        self.launch(self.stage.node_not_started(*self.flags("--warm-rate", "0"), l2=self.redis))


class Snapshot(Start):
    name = "snapshot"

    def run(self):
        node = self.former("--snapshot-dir", self.folder, "--snapshot-interval", "1h")
        node.process.signal(signal.SIGTERM)
        node.process.wait(60)
        self.alone()
        self.launch(node)  # a snapshot is of an address
        self.told = f"snapshot: {self.node.info()['snapshot_restored_suspects']} suspects"


class Peers(Start):
    name = "what others hold"

    def run(self):
        node = self.former()
        until(lambda: has_told_all(node), 120, "what the node holds is in L2", every_s=0.1)
        self.launch(self.stage.node_not_started(*self.flags(), l2=self.redis))


class Job(Start):
    name = "job before ready"

    def run(self):
        (self.folder / "log.txt").write_bytes(self.trace.before.read_bytes())
        self.alone()
        began = time.monotonic()
        self.launch(self.stage.node_not_started(*self.flags("--warm-dir", self.folder, "--warm-rate", "1000000"),
                                                l2=self.redis))
        job = warm.submit(self.node, {"log": "log.txt", "n": self.arguments.hottest}, target="self", priority=9)
        status = warm.ended(self.node, job, deadline_s=120)
        if status["state"] != "done":
            fail(f"the job: {status}")
        self.ready_s = time.monotonic() - began
        self.told = f"job: {status['loaded']} of {status['total']} keys loaded"


# --- the load ---

def replay(node, trace, *words):
    return bench("--target", address(node), "--trace", trace, "--trace-mode", "load", "--item-size", ITEM, "-c", 50, "-P", 16, *words)


class Sampler(threading.Thread):
    """INFO of the node once a second while a load runs."""

    def __init__(self, node, rate):
        super().__init__(daemon=True)
        self.node, self.rate, self.over = node, rate, threading.Event()
        self.samples = [(0, *counts(node))]  # before the load; its time is when the load begins

    def has_begun(self):
        return sum(counts(self.node)[:2]) > sum(self.samples[0][1:3])

    def run(self):
        began = time.monotonic()
        self.samples[0] = (began, *self.samples[0][1:])
        while not self.over.wait(max(0.0, began + SAMPLE_S * len(self.samples) - time.monotonic())):
            self.samples.append((time.monotonic(), *counts(self.node)))

    def seconds(self):
        """(hit ratio in percent, reads of L2 per second) of each second in which anything was asked."""
        for before, after in zip(self.samples, self.samples[1:]):
            hits, misses, reads = (late - early for early, late in zip(before[1:], after[1:]))
            if hits + misses >= 0.5 * SAMPLE_S * self.rate:
                yield 100 * hits / (hits + misses), reads / (after[0] - before[0])


def counts(node):
    """Hits and misses of L1, reads of L2: of what the node says without asking L2."""
    with node.wire() as conn:
        info = info_fields(conn.ask("INFO", "l1", "l2"))
    return tuple(int(info[name]) for name in ("l1_hits", "l1_misses", "l2_reads"))


def measure(start, rate):
    sampler = Sampler(start.node, rate)
    load = start_bench("--target", address(start.node), "--trace", start.trace.then, "--trace-mode", "load", "--item-size", ITEM, "-c", 50,
                       "-P", 16, "--rate", rate)
    until(lambda: sampler.has_begun() or load.poll() is not None, 60, "the load begins", every_s=0.002)
    sampler.start()
    result = finish(load, 600)
    sampler.over.set()
    sampler.join()
    if result["errors"] or result["wrong_values"] or result["lost"]:
        fail(f"{start.name}: {result['errors']} errors, {result['wrong_values']} wrong values, {result['lost']} lost: {result['first_error']}")
    return result, list(sampler.seconds())


def run_of(way, redis, trace, arguments, folder):
    progress(way.name)
    with Stage(folder / way.__name__) as stage:
        start = way(stage, redis, trace, arguments)
        start.run()
        result, seconds = measure(start, arguments.rate)
        return start, result, seconds


# --- the report ---

def report(runs, arguments, svg):
    rows = []
    for start, result, seconds in runs:
        ratios, reads = [ratio for ratio, _ in seconds], [count for _, count in seconds]
        late = f"{result['latency_ms']['p50']:.2f} / {result['latency_ms']['p99']:.2f} / {result['latency_ms']['max']:.0f}"
        rows.append([start.name, f"{start.ready_s:.2f}", "yes" if start.ready_s < READY_GOAL_S else "NO", f"{ratios[0]:.1f}",
                     f"{sum(ratios[:5]) / len(ratios[:5]):.1f}", f"{sum(ratios) / len(ratios):.1f}", f"{max(reads):,.0f}",
                     f"{sum(reads) / len(reads):,.0f}", late, start.told])
    table("Ways to start", ["way", "trigger to ready, s", f"below {READY_GOAL_S} s", "hits of L1 in the first second, %", "in the first five, %",
                            "in all, %", "reads of L2 per second, peak", "mean", "latency p50 / p99 / max, ms", "/readyz, or the job, says"], rows)
    longest = max(len(seconds) for _, _, seconds in runs)
    cells = [[second + 1] + [f"{seconds[second][0]:.1f} / {seconds[second][1]:,.0f}" if second < len(seconds) else "" for _, _, seconds in runs]
             for second in range(longest)]
    table("Second by second: hits of L1 in %, reads of L2 per second", ["second", *(start.name for start, _, _ in runs)], cells)
    if svg:
        def lines(which):
            return [plot.Line(start.name, [(at + 1, second[which]) for at, second in enumerate(seconds)]) for start, _, seconds in runs]
        plot.write(svg, "A node that has just come: cold, and warm in three ways",
                   [plot.Panel("hits of L1, %", lines(0), low=0, high=100), plot.Panel("reads of L2 per second", lines(1), low=0)],
                   note=f"{runs[0][0].trace.name} at {arguments.rate:,} requests/s, {arguments.memory} of memory", x="seconds since it was ready")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("trace")
    parser.add_argument("--rate", type=int, default=40000)
    parser.add_argument("--memory", default="48mb")
    parser.add_argument("--before", type=float, default=0.4, help="part of the trace that was asked before")
    parser.add_argument("--hottest", type=int, default=100000, help="keys of the job's log that it loads")
    parser.add_argument("--hot-keys", type=int, default=65536, help="of the nodes: what a peer may tell of")
    parser.add_argument("--svg")
    parser.add_argument("--smoke", action="store_true", help="a few seconds of it, for a test")
    parser.add_argument("--only", choices=[way.__name__.lower() for way in WAYS], action="append")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.rate, limit = min(arguments.rate, 2000), 8000
    else:
        limit = None
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        progress("the trace")
        trace = Trace(arguments.trace, folder, arguments.before, limit)
        with Stage(folder / "l2") as stage:
            redis = stage.redis()
            progress("L2 gets every key")
            bench("--target", address(redis), "--trace", trace.keys, "--trace-mode", "load", "--item-size", ITEM, "--preload", "-P", 16)
            before, then, keys = trace.counts
            machine("Cold start and warm start", " ".join(map(shlex.quote, ["bench/warm_start.py", *sys.argv[1:-1], trace.name])),
                    f"{trace.name}: {before:,} requests before, {then:,} then at {arguments.rate:,}/s (open loop), {keys:,} keys in L2, "
                    f"{trace.before_keys:,} of them asked before, {ITEM} bytes each; node: one thread, {arguments.memory}, policy density, hot-keys {arguments.hot_keys}")
            ways = [way for way in WAYS if not arguments.only or way.__name__.lower() in arguments.only]
            report([run_of(way, redis, trace, arguments, folder) for way in ways], arguments, arguments.svg)
            print(f"\nLoad average after {load_average()}.")


WAYS = [Cold, Snapshot, Peers, Job]

if __name__ == "__main__":
    main()
