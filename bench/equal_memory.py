#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""equal_memory -- whose cache hits more often with the same real memory (`make bench-memory TRACES="FILE ..."`).

    bench/equal_memory.py [--share 0.1] [--budget MIB] [--limit N] [--trials N] [TRACE ...]      no trace: a made-up one

A trace (lines `timestamp key size ttl`, .xz too; bench/trace.h) is replayed as an application with a cache would: GET, and
SET after a miss, against ours, redis-server with allkeys-lfu and allkeys-lru, and memcached. Equal is what each server's
RSS grew by above that of the empty server, when the replay has ended: SHARE of the footprint, which is the keys and values
of all distinct keys, each once at the size it first has. A trace whose sizes are all 1 has none: its items then have 100
bytes, key and value together. Times to live are left out: a replay is faster than the trace's clock.

Each server limits something else (maxmemory, slabs, L1), so each limit is found by trial: a new server, the whole replay,
RSS; until RSS is within 2 % of the budget. Where a tenth of the footprint is below BUDGET (32 MiB), copies of the trace run
side by side, each with keys of its own, so that fixed costs do not decide; the smallest steps of memcached are 1 MiB.

Prints Markdown for bench/results; progress goes to standard error. Exit code 1: a wrong value or an error, not a figure.
"""

import argparse
import collections
import lzma
import math
import os
import random
import re
import sys
import tempfile
import time

from measure import Peer, Stage, fail, load_average, machine, progress, table, versions, vm_rss_bytes

MIB = 1 << 20
UNIT_ITEM_BYTES = 100
NEAR = 0.02
COPY_NAME_BYTES = 4  # what --trace-copies puts behind a key
GOALS = {"redis-server allkeys-lfu": 5, "memcached": 3}  # points of hit ratio that ours is above
NO_ROOM = "out of memory storing object"  # memcached, when nothing of the value's size can leave at once
MADE_UP_KEYS, MADE_UP_REQUESTS, MADE_UP_SCAN = 400_000, 1_000_000, 50_000

Contender = collections.namedtuple("Contender", "name server flags step")
CONTENDERS = [Contender("ours", "ours", [], 1),
              Contender("redis-server allkeys-lfu", "redis-server", ["--maxmemory-policy", "allkeys-lfu"], 1),
              Contender("redis-server allkeys-lru", "redis-server", ["--maxmemory-policy", "allkeys-lru"], 1),
              Contender("memcached", "memcached", [], MIB)]
Trace = collections.namedtuple("Trace", "path words keys requests footprint budget copies sized")
Replay = collections.namedtuple("Replay", "limit grown hit_ratio byte_hit_ratio refused")


# --- the trace ---

def lines_of(path):
    with (lzma.open(path, "rt") if path.endswith(".xz") else open(path, encoding="utf-8", errors="surrogateescape")) as file:
        for line in file:
            fields = line.split()
            if fields and not fields[0].startswith("#"):
                yield fields


def read(path, arguments):
    """Counts what terrace-bench will count again."""
    sizes, requests = {}, 0
    for fields in lines_of(path):
        sizes.setdefault(fields[1], int(fields[2]))
        requests += 1
        if requests == arguments.limit:
            break
    if not sizes:
        fail(f"{path}: no request")
    sized = any(size != 1 for size in sizes.values())
    key_bytes = sum(len(os.fsencode(key)) for key in sizes)
    values = sum(sizes.values()) if sized else len(sizes) * UNIT_ITEM_BYTES - key_bytes
    copies = max(1, math.ceil(arguments.budget * MIB / (arguments.share * (key_bytes + values))))
    if copies > 1 and sized:
        key_bytes += COPY_NAME_BYTES * len(sizes)
    footprint = copies * (key_bytes + values)
    words = ["--trace", path, "--trace-limit", requests * copies, "--trace-copies", copies]
    words += [] if sized else ["--item-size", UNIT_ITEM_BYTES]
    return Trace(path, words, copies * len(sizes), copies * requests, footprint, int(arguments.share * footprint), copies, sized)


def make_up(path):
    """Zipf with exponent 0.9, and in the middle a scan of keys that nobody asks for again."""
    draw = random.Random(1)
    weights = [(rank + 1) ** -0.9 for rank in range(MADE_UP_KEYS)]
    asked = [f"k{number}" for number in draw.choices(range(MADE_UP_KEYS), weights, k=MADE_UP_REQUESTS)]
    middle = MADE_UP_REQUESTS // 2
    asked[middle:middle] = [f"s{number}" for number in range(MADE_UP_SCAN)]
    with open(path, "w", encoding="ascii") as file:
        file.writelines(f"{second // 1000} {key} 1 0\n" for second, key in enumerate(asked))


# --- one replay, and the search for a limit ---

def replay(folder, contender, trace, limit):
    with Stage(folder) as stage:
        peer = Peer(stage, contender.server, os.sched_getaffinity(0), bytes_max=limit, flags=contender.flags)
        peer.bench("--op", "get", "-n", 1000, "-c", 16, "-P", 16)  # what the first connections cost is no item's
        before = peer.resident()
        got = peer.bench(*trace.words, "-c", 16, "-P", 16, timeout_s=3600, forgiven=NO_ROOM)
        grown = vm_rss_bytes(peer.process.pid) - before
        policy = said_policy(peer) if contender.server == "ours" else None
    counted = got["options"]["trace_bytes"]
    if counted != trace.footprint or got["options"]["trace_requests"] != trace.requests:
        fail(f"{trace.path}: terrace-bench counts {counted} bytes, {got['options']['trace_requests']} requests, "
             f"this program {trace.footprint} and {trace.requests}")
    read_bytes, written = got["value_bytes_read"], got["value_bytes_written"]
    return Replay(limit, grown, got["hit_ratio"], read_bytes / max(1, read_bytes + written), got["errors"]), policy


def said_policy(peer):
    """Which policy the node has when nobody chooses."""
    import wire  # pylint: disable=import-outside-toplevel  # measure knows where the journeys lie
    with wire.Wire(("127.0.0.1", peer.port)) as conn:
        return dict(re.findall(r"^(l1_policy):(\S+)", conn.ask("INFO", "everything").decode(), re.M)).get("l1_policy")


def at_equal_memory(folder, contender, trace, first_limit, trials):
    limit, best, name = first_limit, None, contender.name
    for trial in range(trials):
        limit = max(contender.step, round(limit / contender.step) * contender.step)
        if best and limit == best.limit:
            break  # no smaller step
        got, policy = replay(folder, contender, trace, limit)
        progress(f"{os.path.basename(trace.path)}: {contender.name}, trial {trial + 1}: limit {limit / MIB:.1f} MiB, "
                 f"RSS grew {got.grown / MIB:.1f} of {trace.budget / MIB:.1f} MiB, hit ratio {got.hit_ratio:.4f}")
        name = f"{contender.name} {policy}" if policy else name
        if best is None or abs(got.grown - trace.budget) < abs(best.grown - trace.budget):
            best = got
        if abs(got.grown / trace.budget - 1) <= NEAR:
            break
        limit = limit * trace.budget / max(got.grown, MIB)
    return name, best


# --- the run ---

def verdict(ours, peer, budget, goal):
    """Nothing is met by more memory than the peer had; with less, it is."""
    if 100 * (ours.hit_ratio - peer.hit_ratio) < goal:
        return "NO"
    unequal = ours.grown > budget * (1 + NEAR) or peer.grown < budget * (1 - NEAR)
    return "not at equal memory" if unequal else "yes"


def compare(folder, trace, trials):
    found, names, limits = {}, {}, {}
    for contender in CONTENDERS:
        guess = limits.get(contender.server, trace.budget)
        names[contender.name], found[contender.name] = at_equal_memory(folder, contender, trace, guess, trials)
        limits[contender.server] = found[contender.name].limit
    ours = found["ours"].hit_ratio
    rows = []
    for contender in CONTENDERS:
        got, goal = found[contender.name], GOALS.get(contender.name)
        above = 100 * (ours - got.hit_ratio)
        off = "" if abs(got.grown / trace.budget - 1) <= NEAR else " (not within 2 %)"
        refused = f" ({got.refused} SETs refused)" if got.refused else ""
        rows.append([names[contender.name], f"{got.limit / MIB:.1f}", f"{got.grown / MIB:.1f}{off}", f"{got.hit_ratio:.4f}{refused}",
                     f"{got.byte_hit_ratio:.4f}", "" if contender.name == "ours" else f"{above:+.2f}",
                     f">= {goal}" if goal else "", verdict(found["ours"], got, trace.budget, goal) if goal else ""])
    sizes = "sizes as in the trace" if trace.sized else f"items of {UNIT_ITEM_BYTES} bytes"
    table(os.path.basename(trace.path), ["server", "limit, MiB", "RSS grew, MiB", "hit ratio", "of bytes", "ours above it, points",
                                         "goal", "met"], rows,
          f"{trace.requests} requests, {trace.keys} keys, {sizes}, footprint {trace.footprint / MIB:.1f} MiB, budget "
          f"{trace.budget / MIB:.1f} MiB" + (f"; {trace.copies} copies of the trace side by side." if trace.copies > 1 else ".")
          + (" The goal was set for items of 100 bytes." if trace.sized else ""))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--share", type=float, default=0.1, help="of the footprint, for each server (0.1)")
    parser.add_argument("--budget", type=float, default=32, help="MiB that the share is at least, by copies of the trace (32)")
    parser.add_argument("--limit", type=int, default=0, help="only so many requests of each trace (0: all)")
    parser.add_argument("--trials", type=int, default=6, help="replays at most to find a limit (6)")
    parser.add_argument("trace", nargs="*", help="lines `timestamp key size ttl`; .xz is unpacked")
    arguments = parser.parse_args()
    if not 0 < arguments.share <= 1 or arguments.budget < 2 or arguments.trials < 1:
        parser.error("--share is in 0 to 1, --budget at least 2 MiB, --trials at least 1")
    began = time.monotonic()
    machine("Hit ratio at equal memory", " ".join(["bench/equal_memory.py", *map(os.path.basename, sys.argv[1:])]),
            f"{versions()}; one thread each for ours, Redis' commands; memcached -t 1")
    print(f"\nEqual: growth of RSS at the end of the replay above the empty server's, {arguments.share:g} of the footprint within "
          "2 %. GET, and SET after a miss; cold misses count; no times to live. 16 connections, at most 16 requests under way "
          "in each, every value checked.")
    with tempfile.TemporaryDirectory() as folder:
        made_up = os.path.join(folder, "zipf-0.9-and-a-scan")
        if not arguments.trace:
            make_up(made_up)
        for path in arguments.trace or [made_up]:
            compare(folder, read(path, arguments), arguments.trials)
    print(f"\nTook {time.monotonic() - began:.0f} s; load average after {load_average()}.")


if __name__ == "__main__":
    main()
