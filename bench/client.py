#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""client -- libterrace beside hiredis on the same node, in one run on one machine (`make bench-client`).

    bench/client.py [--quick]

Prints Markdown for bench/results; progress goes to standard error. Needs build/release/terraced and bench_client (TERRACED,
CLIENT name others). How CPU time is read and rounds are compared: measure.py.
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

from measure import (ROOT, Stage, alternating, cores, cpu_ns, fail, load_average, machine, pin, progress, ratios, said_by,
                     spread, table)

CLIENT = os.environ.get("CLIENT", str(ROOT / "build" / "release" / "bench_client"))
Size = collections.namedtuple("Size", "rounds requests")
FULL = Size(rounds=7, requests=200_000)
QUICK = Size(rounds=1, requests=5_000)
KEYS = 10_000
VALUE_BYTES = 100
LIBRARIES = ["hiredis", "terrace"]
NAMES = {"hiredis": "hiredis", "terrace": "libterrace"}
Way = collections.namedtuple("Way", "title words part")  # part: of the requests, for what is slow
WAYS = [
    Way("sync, 1 thread", ["sync"], 0.2),
    Way("sync, 8 threads", ["sync", "--threads", 8], 0.2),
    Way("batches of 16", ["batch", "--window", 16], 1),
    Way("batches of 64", ["batch", "--window", 64], 1),
    Way("async, 16 under way", ["async", "--window", 16], 1),
    Way("async, 64 under way", ["async", "--window", 64], 1),
]


def client(library, words, port, on, *more):
    argv = [CLIENT, library, *words, "--port", port, "--keys", KEYS, "--value", VALUE_BYTES, *more]
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, timeout=300, check=False,
                          preexec_fn=lambda: os.sched_setaffinity(0, on))
    if done.returncode != 0:
        fail(done.stderr.strip())
    return json.loads(done.stdout)


def figures_of(stage, size, node, way, op):
    def run(library, turn):
        progress(f"{op}, {way.title}, round {turn + 1}, {NAMES[library]}")
        before = cpu_ns(node.process)
        said = client(library, way.words, node.port, stage.rest, "--op", op, "--requests", int(size.requests * way.part))
        said["node_us"] = (cpu_ns(node.process) - before) / 1e3 / said["requests"]
        return said
    return alternating(size.rounds, LIBRARIES, run)


def of(figures, what, digits):
    return {library: [round(one[what], digits) for one in figures[library]] for library in LIBRARIES}


def compare(stage, size, node, op):
    rows = []
    for way in WAYS:
        figures = figures_of(stage, size, node, way, op)
        rates, cpu = of(figures, "per_s", 1), of(figures, "cpu_us", 4)
        for library in LIBRARIES:
            rows.append([way.title, NAMES[library], spread([rate / 1e3 for rate in rates[library]], 1),
                         spread(of(figures, "p50_us", 2)[library], 1), spread(of(figures, "p99_us", 2)[library], 1),
                         spread(cpu[library]), spread(of(figures, "node_us", 4)[library]),
                         "1" if library == "hiredis" else spread(ratios(rates, library, "hiredis")),
                         "1" if library == "hiredis" else spread(ratios(cpu, library, "hiredis"))])
    table(f"{op.upper()}", ["way", "library", "1000/s", "p50 us", "p99 us", "CPU us per request", "node's CPU us", "rate / hiredis", "CPU / hiredis"],
          rows, f"{size.requests} requests per run ({int(size.requests * 0.2)} of sync), {KEYS} keys of 16 bytes, values of {VALUE_BYTES} bytes; rounds: {size.rounds}, "
          "alternating, median (least-most). The node, one thread and alone, on one core, the client on the others. hiredis has a "
          "connection for each thread; libterrace one for all. In a batch each request's time counts from the sending of the batch.")


def near_hits(stage, size, node):
    def run(words, turn):
        progress(f"L0, round {turn + 1}, {words}")
        threads = 8 if words == "8 threads" else 1
        return client("terrace", ["sync", "--threads", threads], node.port, stage.own | stage.rest, "--requests",
                      size.requests * 50, "--options", "near-memory=64mb")
    figures = alternating(size.rounds, ["1 thread", "8 threads"], run)
    rows = [[name, spread([one["per_s"] / 1e6 for one in figures[name]]), spread([one["p50_us"] * 1e3 for one in figures[name]], 0),
             spread([one["p99_us"] * 1e3 for one in figures[name]], 0)] for name in figures]
    table("GET with a near cache (L0)", ["", "million/s", "p50 ns", "p99 ns"], rows,
          f"{size.requests * 50} requests per run in {KEYS} keys, so that all but the first of each are hits; all cores.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="one short round of everything: shape, not figures")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    began = time.monotonic()
    machine("libterrace beside hiredis", " ".join(["bench/client.py", *sys.argv[1:]]),
            f"hiredis {said_by('pkg-config', '--modversion', 'hiredis')}; both on loopback, against the same node")
    with tempfile.TemporaryDirectory() as folder, Stage(pathlib.Path(folder)) as stage:
        stage.own, stage.rest = cores()
        node = stage.node("--threads", "1")
        pin(node.process, stage.own)
        client("hiredis", ["fill"], node.port, stage.rest)
        for op in "get", "set":
            compare(stage, size, node, op)
        near_hits(stage, size, node)
    print(f"\nTook {time.monotonic() - began:.0f} s; load average after {load_average()}.")


if __name__ == "__main__":
    main()
