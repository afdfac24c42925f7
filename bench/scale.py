#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""scale -- from 2 to 4 nodes under load, with warming and without, second by second (`make bench-scale`).

    bench/scale.py [--rate 8000] [--svg FILE] [--csv FILE] [--smoke]

Two nodes serve what an application with libterrace asks of them at a fixed rate (open loop, discover=nodes: it sends where the
nodes say, by the weight that they say). Then two more are started, in one of these ways:

    cold           a full share at once, with nothing in it (warm-rate 0, slow-start 0)
    slow start     with nothing, but a share that follows the hit ratio (warm-rate 0)
    warm           as configured: what is hot at the others is loaded before they are ready, then slow start

Prints Markdown for bench/results; progress goes to standard error. Needs build/release/terraced, terrace-bench and bench_scale.
Hits are those of the nodes' L1 (INFO), reads of L2 what Redis executed for all of them (GET and GETRANGE in its commandstats);
what of these is not a client's miss is warming. Redis' CPU is its own count (INFO cpu), in percent of a core, with everything that
the nodes ask of it: beats, lists, pages. Seconds count from the trigger, which is when the two processes are started.
"""
import argparse
import csv
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import threading
import time

import plot
from measure import ROOT, Stage, address, bench, fail, has_told_all, load_average, machine, progress, table, until

SCALE = os.environ.get("SCALE", str(ROOT / "build" / "release" / "bench_scale"))
READY_GOAL_S = 60
GOOD = 0.95  # of the former hit ratio
LASTING_S = 3
WAYS = {"cold": ["--warm-rate", "0", "--slow-start", "0"], "slow start": ["--warm-rate", "0"], "warm": []}


def reads_of(redis):
    """(reads of values, seconds of CPU)."""
    with redis.client() as client:
        stats, cpu = client.info("commandstats"), client.info("cpu")
    return (sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("get", "getrange")),
            cpu["used_cpu_user"] + cpu["used_cpu_sys"])


def counts_of(node):
    """(hits, misses, weight); None: it does not answer yet."""
    try:
        info = node.info("everything")
    except OSError:
        return None
    return int(info["l1_hits"]), int(info["l1_misses"]), float(info["weight"])


class Sampler(threading.Thread):
    """Once a second what each node and Redis have counted."""

    def __init__(self, redis, nodes):
        super().__init__(daemon=True)
        self.redis, self.nodes = redis, list(nodes)
        self.over = threading.Event()
        self.samples = []

    def run(self):
        began = time.monotonic()
        while not self.over.wait(max(0.0, began + len(self.samples) - time.monotonic())):
            self.samples.append((time.monotonic(), reads_of(self.redis), [counts_of(node) for node in self.nodes]))

    def seconds(self, trigger):
        """Of each second a dict of what the table and the pictures show."""
        for before, after in zip(self.samples, self.samples[1:]):
            pairs = [(early, late) for early, late in zip(before[2] + [None] * len(after[2]), after[2])]
            asked = [(late[0] - (early[0] if early else 0), late[1] - (early[1] if early else 0), late[2]) if late else (0, 0, 0)
                     for early, late in pairs]
            old, new = asked[:2], asked[2:]
            yield {"second": after[0] - trigger, "hits": ratio(asked), "hits_new": ratio(new), "l2_reads": (after[1][0] - before[1][0]) / (after[0] - before[0]),
                   "l2_cpu": 100 * (after[1][1] - before[1][1]) / (after[0] - before[0]), "misses": sum(one[1] for one in asked) / (after[0] - before[0]), "requests_old": sum(sum(one[:2]) for one in old),
                   "requests_new": sum(sum(one[:2]) for one in new), "weight_new": sum(one[2] for one in new) / len(new) if new else 0}


def ratio(asked):
    hits, misses = sum(one[0] for one in asked), sum(one[1] for one in asked)
    return 100 * hits / (hits + misses) if hits + misses >= 20 else None


class Run:
    def __init__(self, name, arguments, folder):
        self.name, self.arguments, self.folder = name, arguments, folder
        self.ready_s, self.told = [], []

    def flags(self, *more):
        return ["--threads", "1", "--memory", self.arguments.memory, "--policy", "density", "--hot-keys", self.arguments.hot_keys, *more]

    def start_old(self, stage, redis):
        """Two nodes that have served for a while, and have left their hot lists."""
        nodes = [stage.node(*self.flags(), l2=redis) for _ in range(2)]
        words = ["-k", self.arguments.keys, "-z", self.arguments.zipf, "-c", 20, "-P", 16, "-n", self.arguments.before]
        for seed, node in enumerate(nodes):
            bench("--target", address(node), "--seed", seed + 7, *words)
        until(lambda: all(has_told_all(node) for node in nodes), 150, "the lists and pages of what they hold are in L2", every_s=0.2)
        return nodes

    def add(self, stage, redis, sampler):
        """Starts two at once, and waits until both are ready."""
        new = [stage.node_not_started(*self.flags(*WAYS[self.name]), l2=redis) for _ in range(2)]
        trigger = time.monotonic()
        for node in new:
            node.launch()
        sampler.nodes += new
        for node in new:
            until(lambda node=node: node.admin("/readyz")[0] == 200 or not node.process.alive(), 120, "ready", every_s=0.01)
            self.ready_s.append(time.monotonic() - trigger)
            self.told.append(node.admin("/readyz")[1].splitlines()[1])
        return trigger

    def load(self, nodes, seconds):
        options = (f"endpoints={','.join(address(node) for node in nodes)}&discover=nodes&discover-every=250ms&strategy=round-robin"
                   "&timeout=10s&connect-timeout=5s")
        argv = [SCALE, options, self.arguments.rate, seconds, self.arguments.keys, self.arguments.zipf]
        return subprocess.Popen(list(map(str, argv)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def go(self):
        arguments = self.arguments
        with Stage(self.folder) as stage:
            redis = stage.redis()
            bench("--target", address(redis), "--fill", "-k", arguments.keys, "-s", arguments.value, "-P", 16, "-n", 1)
            progress(f"{self.name}: two nodes get warm")
            nodes = self.start_old(stage, redis)
            sampler = Sampler(redis, nodes)
            load = self.load(nodes, arguments.lead + arguments.seconds)
            sampler.start()
            time.sleep(arguments.lead)  # the load before, of which the mean is taken
            progress(f"{self.name}: two more")
            trigger = self.add(stage, redis, sampler)
            out, errors = load.communicate(timeout=arguments.lead + arguments.seconds + 60)
            sampler.over.set()
            sampler.join()
            if load.returncode != 0:
                fail(errors)
        self.rows = list(sampler.seconds(trigger))
        self.latencies = [list(map(int, line.split(","))) for line in out.splitlines()]
        return self

    def figures(self):
        before = [row for row in self.rows if -6 < row["second"] <= 0 and row["hits"] is not None]
        after = [row for row in self.rows if row["second"] > 0 and row["hits"] is not None]
        self.former = sum(row["hits"] for row in before) / len(before)
        self.l2_before = sum(row["l2_reads"] for row in before) / len(before)
        self.l2_peak = max(row["l2_reads"] for row in after)
        self.misses_peak = max(row["misses"] for row in after)
        self.warming_peak = max(row["l2_reads"] - row["misses"] for row in after)
        self.cpu_before = sum(row["l2_cpu"] for row in before) / len(before)
        self.cpu_peak = max(row["l2_cpu"] for row in after)
        first = [row["l2_reads"] for row in after if row["second"] <= 30]
        self.extra = sum(first) - len(first) * self.l2_before
        self.lowest = min(row["hits"] for row in after)
        good = [row["hits"] >= GOOD * self.former for row in after]
        self.good_s = next((row["second"] for at, row in enumerate(after) if all(good[at:])), None)
        self.dips = not all(good)
        served = [row["hits_new"] for row in after if row["hits_new"] is not None]
        self.first_new = served[0] if served else None
        self.later_new = sum(served[1:6]) / len(served[1:6]) if served[1:6] else None
        self.full_s = next((row["second"] for row in after if row["weight_new"] >= 0.999), None)
        self.errors = sum(row[3] for row in self.latencies)
        self.p99_ms = max(row[5] for row in self.latencies) / 1000
        return self


def shown(number, digits=1):
    return "never" if number is None else f"{number:,.{digits}f}"


def report(runs, arguments):
    rows = []
    for run in runs:
        recovered = "did not fall below" if not run.dips else shown(run.good_s)
        rows.append([run.name, f"{max(run.ready_s):.2f}", "yes" if max(run.ready_s) < READY_GOAL_S else "NO", f"{run.former:.1f}", f"{run.lowest:.1f}",
                     recovered, shown(run.first_new), shown(run.later_new), f"{run.l2_before:,.0f}", f"{run.l2_peak:,.0f}", f"{run.misses_peak:,.0f}",
                     f"{run.warming_peak:,.0f}", f"{run.extra:,.0f}", f"{run.cpu_before:.1f} / {run.cpu_peak:.1f}", shown(run.full_s), f"{run.p99_ms:.1f}", run.errors, run.told[0]])
    table("From 2 to 4 nodes", ["two more nodes start", "trigger to both ready, s", f"below {READY_GOAL_S} s", "hits before, %", "lowest after, %",
                                f"s until {100 * GOOD:.0f} % of before, for good", "hits of the new ones, first second, %", "in the five after it", "reads of L2 per second before",
                                "peak after", "of these clients' misses, peak", "and warming, peak", "reads of L2 in 30 s beyond those of before", "Redis' CPU before / peak, %", "s until a full share", "p99 of the worst second, ms", "errors",
                                "/readyz says"], rows)
    longest = range(-5, int(arguments.seconds) + 1)
    cells = []
    for second in longest:
        cell = [second]
        for run in runs:
            row = next((row for row in run.rows if second - 1 < row["second"] <= second), None)
            cell.append("" if row is None or row["hits"] is None else
                        f"{row['hits']:.1f} / {row['l2_reads']:,.0f} / {100 * row['requests_new'] / max(1, row['requests_new'] + row['requests_old']):.0f} %")
        if any(cell[1:]):
            cells.append(cell)
    table("Second by second: hits of L1 in % of all nodes, reads of L2 per second, part of the requests that the new nodes got", ["second", *(run.name for run in runs)], cells)


def write_csv(path, runs):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        names = list(runs[0].rows[0])
        writer.writerow(["way", *names])
        for run in runs:
            for row in run.rows:
                writer.writerow([run.name, *("" if row[name] is None else f"{row[name]:.3f}" for name in names)])


def draw(path, runs, arguments):
    def lines(name):
        return [plot.Line(run.name, [(row["second"], row[name]) for row in run.rows if row["second"] > -6]) for run in runs]
    marks = [plot.Mark(max(run.ready_s), f"{run.name}: both ready") for run in runs]
    plot.write(path, "From 2 to 4 nodes under load", [plot.Panel("hits of L1, all nodes, %", lines("hits"), high=100, marks=marks),
                                                      plot.Panel("hits of the two new nodes, %", lines("hits_new"), low=0, high=100),
                                                      plot.Panel("reads of L2 per second", lines("l2_reads"), low=0),
                                                      plot.Panel("Redis' CPU, %", lines("l2_cpu"), low=0),
                                                      plot.Panel("requests per second to the new nodes", lines("requests_new"), low=0)],
               note=f"{arguments.rate:,} requests/s, Zipf {arguments.zipf} over {arguments.keys:,} keys, {arguments.memory} per node", x="seconds since the trigger")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rate", type=int, default=8000)
    parser.add_argument("--keys", type=int, default=50_000)
    parser.add_argument("--zipf", type=float, default=0.99)
    parser.add_argument("--value", type=int, default=500)
    parser.add_argument("--memory", default="12mb")
    parser.add_argument("--hot-keys", type=int, default=4096)
    parser.add_argument("--before", type=int, default=300_000, help="requests of each of the two nodes beforehand")
    parser.add_argument("--lead", type=int, default=8, help="seconds of the load in front of the trigger")
    parser.add_argument("--seconds", type=int, default=40, help="... and after it")
    parser.add_argument("--only", choices=list(WAYS), action="append")
    parser.add_argument("--svg")
    parser.add_argument("--csv")
    parser.add_argument("--smoke", action="store_true", help="a few seconds of it, for a test")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.rate, arguments.keys, arguments.before, arguments.lead, arguments.seconds = 500, 500, 10_000, 2, 3
    with tempfile.TemporaryDirectory() as folder:
        machine("From 2 to 4 nodes under load", " ".join(map(shlex.quote, ["bench/scale.py", *sys.argv[1:]])),
                f"{arguments.rate:,} requests/s by libterrace (round robin by weight, discover-every 250 ms), {arguments.keys:,} keys in L2, Zipf {arguments.zipf}, "
                f"{arguments.value} bytes each; nodes: one thread, {arguments.memory}, policy density, hot-keys {arguments.hot_keys}; each had answered "
                f"{arguments.before:,} requests before; all of it on one machine")
        names = [name for name in WAYS if not arguments.only or name in arguments.only]
        runs = [Run(name, arguments, pathlib.Path(folder) / name.replace(" ", "_")).go().figures() for name in names]
        report(runs, arguments)
        if arguments.csv:
            write_csv(arguments.csv, runs)
        if arguments.svg:
            draw(arguments.svg, runs, arguments)
        print(f"\nLoad average after {load_average()}.")


if __name__ == "__main__":
    main()
