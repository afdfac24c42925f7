#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""near -- the near cache of libterrace (L0): what a hit costs, and for how long after a stranger's write in Redis the old value is
still shown (`make bench-near`).

    bench/near.py [--quick]

Prints Markdown for bench/results; progress goes to standard error. Needs build/release/terraced and bench_near (TERRACED, NEAR name
others). How rounds are compared: measure.py.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from measure import ROOT, Stage, alternating, fail, load_average, machine, progress, spread, table

NEAR = os.environ.get("NEAR", str(ROOT / "build" / "release" / "bench_near"))
Size = collections.namedtuple("Size", "rounds hits writes")
FULL = Size(rounds=5, hits=4_000_000, writes=600)
QUICK = Size(rounds=1, hits=200_000, writes=100)
KEYS = 10_000
HITS = [(threads, size) for size in (64, 1024) for threads in (1, 2)]
STALE = {"L0": "near-memory=64mb", "the node alone": "near-memory=0"}


def near(*words):
    done = subprocess.run([NEAR, *map(str, words)], capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        fail(done.stderr.strip())
    return json.loads(done.stdout)


def hits(size, node):
    def run(case, turn):
        threads, bytes_ = case
        progress(f"hits, round {turn + 1}, {threads} threads, {bytes_} bytes")
        return near("hits", node.port, "near-memory=64mb", threads, KEYS, bytes_, size.hits)
    figures = alternating(size.rounds, HITS, run)
    rows = [[f"{bytes_} B", threads, spread([one["ns"] for one in figures[threads, bytes_]], 0),
             spread([one["million_per_s"] for one in figures[threads, bytes_]]),
             f"{min(one['near'] for one in figures[threads, bytes_]) * 100:.3f} %"] for threads, bytes_ in HITS]
    table("Hits", ["value", "threads", "ns per read", "million/s, all threads", "of these from L0"], rows,
          f"terrace_get and terrace_value_done, {size.hits} per thread in {KEYS} keys of 19 bytes in turn, no clock between them; "
          f"rounds: {size.rounds}, alternating, median (least-most).")


def staleness(size, node, redis_server):
    def run(case, turn):
        progress(f"staleness, round {turn + 1}, {case}")
        return near("stale", node.port, STALE[case], redis_server.port, size.writes)
    figures = alternating(size.rounds, list(STALE), run)
    rows = [[case, spread([one["at_once"] * 100 for one in figures[case]], 1), spread([one["p50_us"] for one in figures[case]], 0),
             spread([one["p99_us"] for one in figures[case]], 0), f"{max(one['max_us'] for one in figures[case]):.0f}"] for case in STALE]
    table("A stranger writes in Redis", ["asked", "% shown at once", "p50 us", "p99 us", "max us of all rounds"], rows,
          f"{size.writes} writes per round of one key that is read all the time: when, after Redis had acknowledged the write, the last "
          "read began that showed the old value. The bound of the contract is 1,000,000 us.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="one short round of everything: shape, not figures")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    began = time.monotonic()
    machine("The near cache of libterrace", " ".join(["bench/near.py", *sys.argv[1:]]), "one Redis, one node, one program")
    with tempfile.TemporaryDirectory() as folder, Stage(pathlib.Path(folder)) as stage:
        redis_server = stage.redis()
        node = stage.node(l2=redis_server)
        node.wait_synced()
        hits(size, node)
        staleness(size, node, redis_server)
    print(f"\nTook {time.monotonic() - began:.0f} s; load average after {load_average()}.")


if __name__ == "__main__":
    main()
