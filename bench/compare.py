#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""compare -- ours beside redis-server and memcached, in one run, in one table (`make bench`).

    bench/compare.py [--quick | --tiny] [PART ...]      requests memory latency threads l1; none: all of them

What travels between machines is neither a rate nor CPU time per request, but the ratio of servers measured side by side.
So all run at the same time, pinned to one core, the load to another; rounds are interleaved; cells are medians with
their extremes, the ratio is that of the medians' rounds. Goals are those of the project, met or not by the figure; a
figure never fails the run, a wrong reply does. --tiny shows the shape and nothing else.

Prints Markdown for bench/results; progress goes to standard error. Needs build/release/terraced, terrace-bench and, for
`l1`, bench_l1. Environment: TERRACED, REDIS, MEMCACHED, BENCH name other programs (a Redis or Valkey in our place is
known by its name); YARDSTICK=/path/to/lg, an independent load generator, adds its rows at 32 B.
"""

import argparse
import collections
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from measure import (CONNECTIONS, ROOT, Peer, Stage, alternating, cores, fail, load_average, machine, progress, ratios, spread,
                     table, versions)

YARDSTICK = os.environ.get("YARDSTICK")
BENCH_L1 = ROOT / "build" / "release" / "bench_l1"
PIPELINES = (1, 16, 64)
KEY_BYTES = 16  # key: and twelve digits
TTL_S = 86400
KIB = 1024

# A round is measured for so many seconds, or, however busy the machine is, for so many requests.
Size = collections.namedtuple("Size", "rounds window warmup_s keys small_items large_items latency l1_keys")
FULL = Size(rounds=5, window=("-d", 1.0), warmup_s=0.2, keys={32: 1_000_000, KIB: 200_000, 16 * KIB: 20_000},
            small_items=5_000_000, large_items=500_000, latency=("-d", 2.0), l1_keys=1_000_000)
QUICK = Size(rounds=3, window=("-d", 0.3), warmup_s=0.1, keys={32: 1_000_000, KIB: 100_000, 16 * KIB: 10_000},
             small_items=1_000_000, large_items=200_000, latency=("-d", 1.0), l1_keys=1_000_000)
TINY = Size(rounds=1, window=("-n", 4000), warmup_s=0.02, keys={32: 2000, KIB: 500, 16 * KIB: 100}, small_items=20_000,
            large_items=2000, latency=("-n", 500), l1_keys=1000)

# At most so much of redis-server's CPU time per request.
REQUEST_GOALS = {("get", 32, 1): 0.92, ("get", 32, 16): 0.42, ("get", 32, 64): 0.33, ("set", 32, 16): 0.52,
                 ("set", 32, 64): 0.45, ("get", 16 * KIB, 16): 0.60}
OVERHEAD_GOALS = {(32, 0): 24, (32, TTL_S): 28, (KIB, 0): 64}  # bytes beyond key and value
THREADS_GOAL = 1.10  # CPU time per request of two threads to that of one
P99_GOAL_MS = 1.25
L1_BATCH_GOAL_NS = 100
L1_GAIN_GOAL = 3


def bytes_name(size):
    return f"{size // KIB} KiB" if size >= KIB else f"{size} B"


def met(holds):
    return "yes" if holds else "NO"


def row(figure, cells, ratio="", goal="", holds=""):
    """cells: {server: its text}"""
    return [figure, *[cells.get(name, "") for name in Peer.NAMES], ratio, goal, holds]


def side_by_side(figure, figures, goal=None, digits=3):
    """A row of figures of interleaved rounds, and ours to Redis' against the goal."""
    ratio = ratios(figures, "ours", "redis-server")
    return row(figure, {name: spread(figures[name], digits) for name in figures}, spread(ratio),
               f"<= {goal:.2f}" if goal else "", met(statistics.median(ratio) <= goal) if goal else "")


# --- CPU time per request ---

def fill(peer, size, keys, *words):
    peer.bench("--fill", "-k", keys, "-s", size, "--op", "ping", "-n", 1, "-c", 16, *words)


def check(peer, size, keys, rest):
    """Every value read is its key's, byte for byte, and every key is there."""
    peer.bench("--op", "get", "--check", "--min-hit-ratio", 1, "-k", keys, "-s", size, "-P", 16, "-n", min(keys, 200_000), on=rest)


def fill_and_check(peers, size, keys, rest):
    for peer in peers.values():
        fill(peer, size, keys)
        check(peer, size, keys, rest)


def by_bench(peer, size, run, op, pipeline, seed, rest):
    got = peer.bench("--op", op, "-c", CONNECTIONS, "-P", pipeline, "-k", run.keys[size], "-s", size, "-w", run.warmup_s,
                     *run.window, "--seed", seed, "--min-hit-ratio", int(op == "get"), on=rest)
    if got["server_cpu_us"] is None:
        fail(f"{peer.name}: no CPU time of process {peer.process.pid}")
    return got["server_cpu_us"], got["rps"]


def by_yardstick(peer, size, run, op, pipeline, seed, rest):
    """lg speaks memcached's older `get` and `set`; see memcached.h."""
    del seed
    words = ["-p", peer.port, "-pid", peer.process.pid, "-c", CONNECTIONS, "-P", pipeline, "-n", run.keys[size], "-d", size,
             "-op", op, "-t", run.window[1], "-w", run.warmup_s, *(["-proto", "mc"] if peer.name == "memcached" else [])]
    done = subprocess.run([YARDSTICK, *map(str, words)], capture_output=True, text=True, check=False,
                          preexec_fn=lambda: os.sched_setaffinity(0, rest))
    try:
        got = json.loads(done.stdout)
    except ValueError:  # or no number, if the window was too short for one request
        fail(f"{YARDSTICK} {' '.join(map(str, words))}: {done.stderr or done.stdout}")
    return got["cpu_us"], got["rps"]


def request_row(run, peers, tool, size, op, pipeline, rest):
    ask = by_yardstick if tool == "lg" else by_bench
    both = alternating(run.rounds, list(peers), lambda name, turn: ask(peers[name], size, run, op, pipeline, turn + 1, rest))
    figures = {name: [us for us, _ in rounds] for name, rounds in both.items()}
    rate = statistics.median(rps for _, rps in both["redis-server"])
    what = f"{op.upper()} {bytes_name(size)}, P={pipeline}, us of CPU{' (lg)' if tool == 'lg' else ''}"
    return side_by_side(what, figures, REQUEST_GOALS.get((op, size, pipeline))), rate


def requests(run, folder, rates):
    own, rest = cores()
    rows = []
    for size, keys in run.keys.items():
        with Stage(folder) as stage:
            peers = {name: Peer(stage, name, own) for name in Peer.NAMES}
            fill_and_check(peers, size, keys, rest)
            for op in ("get", "set"):
                for pipeline in PIPELINES:
                    for tool in ["bench"] + ["lg"] * bool(YARDSTICK and size == 32):
                        progress(f"requests: {op} {bytes_name(size)} P={pipeline} {tool}")
                        line, rates[op, size, pipeline] = request_row(run, peers, tool, size, op, pipeline, rest)
                        rows.append(line)
            for peer in peers.values():
                check(peer, size, keys, rest)  # after the SETs, too
    return rows


# --- memory ---

def overhead(stage, name, items, size, ttl_s):
    """Growth of RSS for each item, less its key and value."""
    peer = Peer(stage, name, cores()[0])
    fill(peer, size, 1, "--key-prefix", "warm:")  # what the first connections cost is no item's
    before = peer.resident()
    fill(peer, size, items, "-t", ttl_s)
    grown = peer.resident() - before
    check(peer, size, items, cores()[1])
    peer.end()
    return grown / items - KEY_BYTES - size


def memory(run, folder, _):
    rows = []
    for size, ttl_s in ((32, 0), (32, TTL_S), (KIB, 0), (KIB, TTL_S)):
        items = run.small_items if size == 32 else run.large_items
        figures = {}
        for name in Peer.NAMES:
            progress(f"memory: {items} of {bytes_name(size)}{', TTL' * bool(ttl_s)}, {name}")
            with Stage(folder) as stage:
                figures[name] = [overhead(stage, name, items, size, ttl_s)]
        goal = OVERHEAD_GOALS.get((size, ttl_s))
        what = f"overhead of each of {items} items of {bytes_name(size)}{', TTL' * bool(ttl_s)}, bytes"
        rows.append(row(what, {name: spread(figures[name], 1) for name in figures},
                        spread(ratios(figures, "ours", "redis-server")), f"<= {goal} bytes" if goal else "",
                        met(figures["ours"][0] <= goal) if goal else ""))
    return rows


# --- latency ---

def latency(run, folder, rates):
    own, rest = cores()
    size, keys = 32, run.keys[32]
    with Stage(folder) as stage:
        peers = {name: Peer(stage, name, own) for name in Peer.NAMES}
        fill_and_check(peers, size, keys, rest)
        if ("get", size, 1) not in rates:
            _, rates["get", size, 1] = request_row(run, peers, "bench", size, "get", 1, rest)
        rate = int(rates["get", size, 1] / 2)

        def one(name, turn):
            progress(f"latency: {rate}/s, round {turn + 1}, {name}")
            got = peers[name].bench("--op", "get", "--rate", rate, "-c", CONNECTIONS, "-k", keys, "-s", size, "-w",
                                    run.warmup_s, *run.latency, "--seed", turn + 1, "--min-hit-ratio", 1, on=rest)
            return {**got["latency_ms"], "load": got["own_cpu"]}
        both = alternating(run.rounds, list(peers), one)
    busiest = max(round_["load"] for rounds in both.values() for round_ in rounds)
    rows = []
    for part, goal in (("p50", None), ("p99", P99_GOAL_MS)):
        figures = {name: [latencies[part] for latencies in rounds] for name, rounds in both.items()}
        line = side_by_side(f"GET 32 B, {rate}/s, {part}, ms (load at most {busiest:.2f} of its core)", figures)
        if goal:
            line[-2:] = [f"<= {goal} ms", met(statistics.median(figures["ours"]) <= goal)]
        rows.append(line)
    return rows


# --- two threads ---

def threads(run, folder, _):
    """Servers of one and two threads in the same place: two cores, which on a machine of two are the load's, too."""
    own, rest = cores(2)
    size, keys = 32, run.keys[32]
    rows, to_one = [], {}
    with Stage(folder) as stage:
        peers = {(name, count): Peer(stage, name, own, threads=count) for name in Peer.NAMES for count in (1, 2)}
        fill_and_check(peers, size, keys, rest)

        def one(key, turn):
            progress(f"threads: round {turn + 1}, {key[0]} with {key[1]}")
            return by_bench(peers[key], size, run, "get", 16, turn + 1, rest)[0]
        both = alternating(run.rounds, list(peers), one)
    for count in (1, 2):
        figures = {name: both[name, count] for name in Peer.NAMES}
        rows.append(side_by_side(f"GET 32 B, P=16, {count} thread{'s' * (count > 1)} on cores of the load, us of CPU", figures))
    for name in Peer.NAMES:
        to_one[name] = [two / one for two, one in zip(both[name, 2], both[name, 1])]
    rows.append(row("the same, 2 threads to 1", {name: spread(to_one[name]) for name in to_one}, "",
                    f"ours <= {THREADS_GOAL:.2f}", met(statistics.median(to_one["ours"]) <= THREADS_GOAL)))
    return rows


# --- in process ---

def l1(run, *_):
    progress("l1: in process")
    own, _ = cores()
    done = subprocess.run([BENCH_L1, str(run.l1_keys)], capture_output=True, text=True, check=False,
                          preexec_fn=lambda: os.sched_setaffinity(0, own))
    found = {what.strip(): (float(median), float(least), float(most)) for what, median, least, most in
             re.findall(r"^\| (.*?) *\| *\d+ \| *([\d.]+) \| *([\d.]+) to *([\d.]+) \|$", done.stdout, re.M)}
    try:
        single, together = found["lookup, one at a time"], found["lookup, 16 together"]
    except KeyError:
        fail(f"{BENCH_L1}: {done.stderr or done.stdout}")
    ours = "{:.0f} ({:.0f}-{:.0f})"
    return [row(f"lookup in process, {run.l1_keys} keys, one at a time, ns", {"ours": ours.format(*single)}),
            row("the same, 16 together, ns", {"ours": ours.format(*together)}, "", f"<= {L1_BATCH_GOAL_NS} ns",
                met(together[0] <= L1_BATCH_GOAL_NS)),
            row("the same, how much faster", {"ours": f"{single[0] / together[0]:.1f}"}, "", f">= {L1_GAIN_GOAL}",
                met(single[0] / together[0] >= L1_GAIN_GOAL))]


# --- the run ---

PARTS = {"requests": requests, "memory": memory, "latency": latency, "threads": threads, "l1": l1}


def notes(run):
    congestion = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    keys = ", ".join(f"{keys} keys of {bytes_name(size)}" for size, keys in run.keys.items())
    return [
        f"us of CPU: of all threads of the server for each request; {CONNECTIONS} connections, random keys, all hits; {keys}. "
        f"The server has one thread on one core, the load another core. Median (least-most) of {run.rounds} interleaved "
        f"rounds ({' '.join(map(str, run.window))}); the ratio is that of each round.",
        "Bytes: RSS of a new server before and after it was filled, for each item, less key (16) and value.",
        "ms: open loop, 50 connections, from when the request was due; the rate is the same for all, half of what "
        f"redis-server gave with P=1 in this run. Congestion control is {congestion}: bbr paces, even on loopback, and tails "
        "below 4 ms are then noise.",
        "Two threads: `--threads 2`, memcached `-t 2`, Redis `--io-threads 2 --io-threads-do-reads yes` (its I/O threads spin; "
        "commands stay in one thread).",
        "memcached is asked by its meta commands (`mg`, `ms`)" + (", by lg with `get` and `set`" if YARDSTICK else "")
        + ", with its own default of 20 requests per connection and turn. Other goals: `make bench-coherence` (the fence, "
        "writes), `make bench-l1` (stamps, changing sizes), `make bench-memory` (hit ratio at equal memory)."]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="fewer and shorter rounds, some three minutes")
    sizes.add_argument("--tiny", action="store_true", help="a moment of everything: shape, not figures")
    parser.add_argument("part", nargs="*", help=" ".join(PARTS))
    arguments = parser.parse_args()
    unknown = [name for name in arguments.part if name not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]}: {' '.join(PARTS)}")
    if arguments.tiny and YARDSTICK:
        parser.error("--tiny counts requests, which YARDSTICK cannot")
    run = TINY if arguments.tiny else QUICK if arguments.quick else FULL
    began = time.monotonic()
    said = f"YARDSTICK={os.path.basename(YARDSTICK)} " if YARDSTICK else ""
    machine("Ours beside redis-server and memcached", said + " ".join(["bench/compare.py", *sys.argv[1:]]),
            f"{versions()}; all on loopback, in memory only")
    rows, rates = [], {}
    with tempfile.TemporaryDirectory() as folder:
        for name in [name for name in PARTS if name in (arguments.part or PARTS)]:
            rows += PARTS[name](run, folder, rates)
    table("One run", ["figure", *Peer.NAMES, "ours to redis-server", "goal", "met"], rows, *notes(run))
    print(f"\nTook {time.monotonic() - began:.0f} s; load average after {load_average()}.")


if __name__ == "__main__":
    main()
