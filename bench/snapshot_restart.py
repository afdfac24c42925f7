#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""snapshot_restart -- a node that starts again with its snapshot, under load, after others changed thousands of keys
(`make bench-snapshot-restart`).

    bench/snapshot_restart.py [--keys 20000] [--changes 10000] [--rate 20000] [--writes 30] [--seconds 12] [--kind managed|plain] [--svg FILE]

Two nodes at one Redis, and the load that records (terrace-bench --history): reads by Zipf 0.99 and some writes, at a fixed
rate; of plain keys three writes in ten are a stranger's, at Redis itself. The first node is ended by SIGTERM when it hits as often as it will; the
load goes on at the other until it has written `--changes` times more; then the first one starts again, with its snapshot and, to
compare, without it and without any warming (`--warm-rate 0`). Its hits and misses are taken from INFO each half second from the moment in which it is ready (/readyz says
200); with its snapshot that is when it holds of it what it has to (`warm-target`). The record tells how many of the reads were of
keys that had changed while it was down: misses, unless it has read them anew. Afterwards `terrace check` judges all that any client of both nodes was shown, restart included: 0 stale is demanded, and
what is promised of hits, or exit 1.

Prints Markdown for bench/results; progress goes to standard error.
"""
import argparse
import pathlib
import shutil
import signal
import statistics
import sys
import tempfile
import time

import plot
from measure import Stage, fail, load_average, machine, progress, table, until

import history_file
from history_run import finish_load, judge, start_load, wait_begun  # measure knows where the journeys lie
from test_managed import configured

CONFIG = """
[namespace managed]
prefix = m:
format = managed
ttl = 1h
jitter = 0%
"""
PREFIX = {"managed": "m:", "plain": "p:"}
STEP_S = 0.5
GOAL = 0.9
PLAIN_GOAL_S = 10
SETTLED = 0.003  # what a node gains in four seconds that has what its clients ask for
SETTLES_MAX = 15


def counts(node):
    info = node.info()
    return int(info["l1_hits"]), int(info["l1_misses"]), int(info["l1_items"]), int(info.get("snapshot_suspects_left", 0))


def start_again(node):
    """Seconds until /readyz says 200."""
    began = time.monotonic()
    node.launch()
    until(lambda: node.admin("/readyz")[0] == 200 or not node.process.alive(), 60, "it is ready", every_s=0.005)
    if not node.process.alive():
        fail(node.process.log())
    return time.monotonic() - began


def watch(node, seconds):
    """(second, hit ratio or None, entries, suspects that are still to be read anew) of each step."""
    began, rows = time.monotonic(), []
    before = counts(node)
    while len(rows) < seconds / STEP_S:
        time.sleep(max(0.0, began + (len(rows) + 1) * STEP_S - time.monotonic()))  # a sample each STEP_S is what is shown
        now = counts(node)
        hits, misses = now[0] - before[0], now[1] - before[1]
        rows.append((round(time.monotonic() - began, 2), hits / (hits + misses) if hits + misses else None, now[2], now[3]))
        before = now
    return rows


def of_changed(path, down_ns, ready_ns):
    """How many keys were written between the two moments, and of the first node's reads in the first step after the second the share that
    is of these."""
    changed, reads = set(), []
    for record in history_file.each(path):
        if record["kind"] == history_file.SET and down_ns <= record["invoked_ns"] < ready_ns:
            changed.add(record["key"])
        elif record["kind"] == history_file.READ and record["node"] == 0 and ready_ns <= record["completed_ns"] < ready_ns + STEP_S * 1e9:
            reads.append(record["key"])
    reads = [key in changed for key in reads]
    return len(changed), sum(reads) / len(reads) if reads else 0.0


class Run:
    """One restart: with the snapshot or without."""

    def __init__(self, stage, arguments, kind, kept):
        self.kind, self.kept = kind, kept
        redis = stage.redis()
        folder = stage.folder / f"{kind}-{kept}"
        target = [] if arguments.warm_target is None else ["--warm-target", arguments.warm_target]
        node = configured(stage, CONFIG, "--snapshot-dir", str(folder), "--snapshot-interval", "1h", "--memory", "256mb", *target, l2=redis)
        other = configured(stage, CONFIG, "--memory", "256mb", l2=redis)
        path = stage.folder / f"{kind}-{kept}.hist"
        direct = redis if kind == "plain" else None
        load = start_load(stage, path, [node, other], direct, 3600, "--quiet", "--keys", arguments.keys, "--zipf", 0.99,
                          "--connections", 4, "--pipeline", 16, "--rate", arguments.rate, "--timeout", 5, "--bound-ms", 1000,
                          "--key-prefix", PREFIX[kind], "--writes", arguments.writes, "--seed", arguments.seed)
        wait_begun(path)
        self.before = self.settle(node, arguments.keys)
        node.process.signal(signal.SIGTERM)
        if node.process.wait(60) != 0:
            fail(node.process.log())
        down_ns = time.monotonic_ns()
        self.file_bytes = sum(file.stat().st_size for file in folder.glob("*.snapshot"))
        self.changed = self.wait_changes(other, arguments)
        if not kept:
            shutil.rmtree(folder)
            node.flags = [*node.flags, "--warm-rate", "0"]
        self.ready_s = start_again(node)
        ready_ns = time.monotonic_ns()
        self.told = next((line for line in node.admin("/readyz?verbose")[1].splitlines()[1:] if "warm" in line or "mass" in line), "")
        self.rows = watch(node, arguments.seconds)
        info = node.info()
        self.load_ms, self.managed = info.get("snapshot_load_ms"), info.get("snapshot_restored_managed")
        self.suspects = info.get("snapshot_restored_suspects")
        load.signal(signal.SIGINT)
        self.load = finish_load(load)
        self.verdict = judge(path)
        self.changed_keys, self.of_changed = of_changed(path, down_ns, ready_ns)

    @staticmethod
    def settle(node, keys):
        """The hit ratio of a node in service: it is asked until it gets no better."""
        until(lambda: node.l1_items() > keys // 4, 60, "L1 has what is asked for", every_s=0.1)
        before = ratio = 0.0
        for _ in range(SETTLES_MAX):
            before, ratio = ratio, statistics.mean(row[1] for row in watch(node, 4))
            if ratio < before + SETTLED:
                break
        return ratio

    @staticmethod
    def wait_changes(other, arguments):
        """So many of what the other node is asked are writes; those of strangers come on top."""
        def changes():
            return int(other.info()["total_commands_processed"]) * arguments.writes // 1000
        first = changes()
        until(lambda: changes() - first >= arguments.changes, 300, "others have written", every_s=0.05)
        return changes() - first

    def share(self, from_s, to_s):
        ratios = [ratio for at, ratio, *_ in self.rows if from_s < at <= to_s and ratio is not None]
        return sum(ratios) / len(ratios) if ratios else 0.0


def percent(ratio):
    return "" if ratio is None else f"{100 * ratio:.1f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--writes", type=int, default=30, help="per mille of the requests")
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=list(PREFIX), action="append")
    parser.add_argument("--warm-target", help="of the node (its default)")
    parser.add_argument("--svg", type=pathlib.Path)
    arguments = parser.parse_args()
    runs = []
    machine("A restart under load, second by second", " ".join(["bench/snapshot_restart.py", *sys.argv[1:]]),
            f"{arguments.keys} keys, Zipf 0.99, {arguments.rate} requests/s over two nodes of 2 threads, {arguments.writes} per mille of them writes")
    for kind in arguments.kind or list(PREFIX):
        for kept in (True, False):
            progress(f"{kind}, {'with' if kept else 'without'} the snapshot")
            with tempfile.TemporaryDirectory() as folder, Stage(pathlib.Path(folder)) as stage:
                runs.append(Run(stage, arguments, kind, kept))
    surprises = report(runs, arguments)
    print(f"\nLoad average after {load_average()}.")
    if arguments.svg:
        plot.write(arguments.svg, "A restart under load",
                   [plot.Panel("hits of L1, %", [plot.Line(name_of(run), [(at, ratio and 100 * ratio) for at, ratio, *_ in run.rows]) for run in runs],
                               low=0, high=100)],
                   note=f"{arguments.keys} keys, {arguments.rate} requests/s, {arguments.writes} per mille writes", x="seconds since it was ready")
    for surprise in surprises:
        print(f"\n**{surprise}**")
    return 1 if surprises else 0


def name_of(run):
    return f"{run.kind}, {'snapshot' if run.kept else 'cold'}"


def report(runs, arguments):
    steps = [f"{(i + 1) * STEP_S:.1f} s" for i in range(int(arguments.seconds / STEP_S))]
    table("Hit ratio of the node that came back", ["seconds since ready", *[name_of(run) for run in runs]],
          [[step, *[percent(run.rows[i][1]) if i < len(run.rows) else "" for run in runs]] for i, step in enumerate(steps)],
          f"Before the restart: {', '.join(f'{name_of(run)} {percent(run.before)}' for run in runs)}.")
    table("What it took", ["", *[name_of(run) for run in runs]], [
        ["changes elsewhere while it was down", *[f"{run.changed:.0f}" for run in runs]],
        ["file, bytes", *[run.file_bytes if run.kept else "" for run in runs]],
        ["found: managed / suspects", *[f"{run.managed} / {run.suspects}" for run in runs]],
        ["read of the file, ms", *[run.load_ms for run in runs]],
        ["start to ready, s", *[f"{run.ready_s:.2f}" for run in runs]],
        ["/readyz", *[run.told for run in runs]],
        ["keys that changed meanwhile", *[run.changed_keys for run in runs]],
        [f"reads of these in the first {STEP_S} s", *[percent(run.of_changed) for run in runs]],
        ["judged: operations", *[f"{run.load['reads']} reads, {run.load['writes']} writes" for run in runs]],
        ["broken promises", *[sum(run.verdict.rules.values()) if run.verdict.code in (0, 1) else "not judged" for run in runs]],
    ])
    surprises = [f"{name_of(run)}: {run.verdict.story()}" for run in runs if run.verdict.code != 0]
    for run in runs:
        if run.kept and run.kind == "managed" and run.rows[0][1] <= GOAL:
            surprises.append(f"managed: {percent(run.rows[0][1])} hits in the first half second, of {percent(run.before)} before")
        if run.kept and run.kind == "plain" and run.share(PLAIN_GOAL_S - 2, PLAIN_GOAL_S) <= GOAL:
            surprises.append(f"plain: {percent(run.share(PLAIN_GOAL_S - 2, PLAIN_GOAL_S))} hits within {PLAIN_GOAL_S} s, of {percent(run.before)} before")
    return surprises


if __name__ == "__main__":
    sys.exit(main())
