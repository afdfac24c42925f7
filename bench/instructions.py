#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""instructions -- what requests cost in instructions, and what bans and tags add to a hit: the same on a machine that is busy
(`make bench-instructions`). Needs valgrind, build/release/terraced and some minutes.

    bench/instructions.py [--quick] [requests | bans ...]

requests: all that the worker's thread runs for a request, libraries included, from what it is woken by until it waits again; what
the system does for it is not seen. One connection, which waits for the answers of each pipeline, so a turn of the loop has one of
them. `--hot-keys 0`: what is sampled of reads is bounded per second, and a second is few requests here.

bans: what a worker does with requests that were read (worker_run_batch): look-up, check of bans, answer. Reading, parsing and
sending are not, so each ratio is more than that of the whole hit.

What waits for memory is not seen: `make bench` and `make bench-bans` time it.
"""

import argparse
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
TERRACED = os.environ.get("TERRACED", str(ROOT / "build" / "release" / "terraced"))
FOLDER = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
COUNTED = pathlib.Path(FOLDER.name) / "terraced"
COUNTED.write_text(f"#!/bin/sh\nexec valgrind --tool=callgrind $COUNTED '{TERRACED}' \"$@\"\n")
COUNTED.chmod(0o755)
os.environ["TERRACED"] = str(COUNTED)  # the journeys' harness starts it

from bans import TAGS, VALUE_BYTES, ban, node_of, put, read  # noqa: E402
from measure import Stage, fail, machine, progress, table  # noqa: E402
from wire import encode  # noqa: E402

PIPELINE = 16
KEYS = 20_000
COLUMNS = (("GET hit", 1), ("GET hit", 16), ("GET hit", 64), ("SET", 1), ("SET", 16), ("SET", 64), ("GET miss", 16))
BATCH_FLAGS = "--callgrind-out-file=/dev/null --collect-atstart=no --toggle-collect=worker_run_batch"
THREAD_FLAGS = f"--callgrind-out-file={FOLDER.name}/%p --separate-threads=yes"


# --- requests ---

def control(order, node):
    subprocess.run(["callgrind_control", order, str(node.process.pid)], check=True, capture_output=True)


def busiest_thread(node):
    """What the thread that ran the most has run since --zero; the others only tick meanwhile."""
    control("--dump", node)
    totals = []
    for path in pathlib.Path(FOLDER.name).glob(f"{node.process.pid}.*"):
        totals += [int(total) for total in re.findall(r"^(?:summary|totals): (\d+)", path.read_text(), re.MULTILINE)]
        path.unlink()
    return max(totals)


def request_of(kind, number):
    if kind == "SET":
        return encode(("SET", f"key:{number:012d}", b"v" * VALUE_BYTES)), b"+OK\r\n"
    if kind == "GET miss":
        return encode(("GET", f"none:{number:012d}")), b"$-1\r\n"
    return encode(("GET", f"key:{number:012d}")), b"$%d\r\n%b\r\n" % (VALUE_BYTES, b"v" * VALUE_BYTES)


def talk(conn, pairs):
    conn.send(b"".join(request for request, _ in pairs))
    wanted = b"".join(reply for _, reply in pairs)
    got = b""
    while len(got) < len(wanted):
        more = conn.sock.recv(1 << 20)
        if not more:
            fail("the node has closed the connection")
        got += more
    if got != wanted:
        fail(f"another reply than expected: {got[:60]!r}")


def per_request(conn, node, kind, pipeline, count, draw):
    rounds = [[request_of(kind, draw.randrange(KEYS)) for _ in range(pipeline)] for _ in range(count // pipeline)]
    talk(conn, rounds[0])
    control("--zero", node)
    for pairs in rounds:
        talk(conn, pairs)
    return busiest_thread(node) / (pipeline * len(rounds))


def requests_row(stage, quick, with_l2):
    progress(f"requests: {'behind an L2' if with_l2 else 'alone'}")
    draw = random.Random(1)
    node = stage.node("--threads", "1", "--memory", "256mb", "--policy", "density", "--hot-keys", "0",
                      l2=stage.redis() if with_l2 else None, env={**os.environ, "COUNTED": THREAD_FLAGS})
    figures = []
    with node.wire(timeout_s=300) as conn:
        for kind in ("SET", "GET hit", "GET hit"):  # the second time what the writing announced has come
            for at in range(0, KEYS, 100):
                talk(conn, [request_of(kind, number) for number in range(at, at + 100)])
        # Hits come first: a write ends what stands.
        for kind, pipeline in COLUMNS:
            progress(f"    {kind}, P={pipeline}")
            count = (640 if quick else 16_000) // (4 if with_l2 and kind != "GET hit" else 1)
            figures.append(f"{per_request(conn, node, kind, pipeline, count, draw):.0f}")
    node.end()
    return ["behind an L2" if with_l2 else "alone", *figures]


def requests_table(stage, quick):
    rows = [requests_row(stage, quick, with_l2) for with_l2 in (False, True)]
    table("Instructions of a worker's thread per request", ["node", *(f"{kind} P={pipeline}" for kind, pipeline in COLUMNS)], rows,
          f"{KEYS} keys of 16 bytes at random, values of {VALUE_BYTES} bytes, policy density, one connection.")


# --- bans ---

def per_hit(stage, kind, bans, rounds):
    progress(f"a node with {bans if kind != 'none' else 'no'} bans: {kind}")
    names = [f"key:{number:012d}" for number in range(2000)]
    os.environ["COUNTED"] = BATCH_FLAGS
    server, node = node_of(stage)
    put(server, names, [f"tag:{i}" for i in range(TAGS)] if "tags" in kind else ())
    if kind == "prefixes":
        ban(node, "PREFIX", [f"key:9{i:06d}{'00000000'[:i % 8]}" for i in range(bans)])
    elif kind == "tags":
        ban(node, "TAG", [f"gone:{i}" for i in range(bans)])
    read(node, names)
    read(node, names)
    before = int(node.info()["l1_hits"])
    with node.wire() as conn:
        subprocess.run(["callgrind_control", "--zero", str(node.process.pid)], check=True, capture_output=True)
        for _ in range(rounds):
            for at in range(0, len(names), PIPELINE):
                assert all(reply == b"v" * VALUE_BYTES for reply in conn.pipeline([("GET", name) for name in names[at:at + PIPELINE]]))
        subprocess.run(["callgrind_control", "--dump", str(node.process.pid)], check=True, capture_output=True)
    assert int(node.info()["l1_hits"]) - before == rounds * len(names), "all are hits"
    return collected(node) / (rounds * len(names))


def collected(node):
    """Of the one part that was dumped."""
    node.end()
    return int(re.search(r"Collected : (\d+)", node.process.log(1 << 20)).group(1))


def bans_table(stage, quick):
    bans, rounds = (1000, 1) if quick else (100_000, 5)
    counts = {kind: per_hit(stage, kind, bans, rounds) for kind in ("none", "prefixes", "no bans, tags", "tags")}
    rows = [[name, f"{counts[kind]:.0f}", f"{counts[kind] / counts[base]:.3f}"] for name, kind, base in (
        ("no bans, no tags", "none", "none"), (f"{bans} prefixes", "prefixes", "none"),
        (f"no bans, values with {TAGS} tags", "no bans, tags", "none"), (f"{bans} tags, values with {TAGS}", "tags", "no bans, tags"))]
    table("Instructions per GET hit on a managed namespace", ["live", "instructions", "ratio to the same without bans or tags"], rows,
          f"2000 keys in turn, P={PIPELINE}, values of {VALUE_BYTES} bytes, older than all bans, of which none binds them; one worker.")


PARTS = {"requests": requests_table, "bans": bans_table}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small part of it: does it run?")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; none: all")
    args = parser.parse_args()
    unknown = [part for part in args.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {' '.join(unknown)}")
    machine("What requests cost, in instructions", "make bench-instructions", "valgrind --tool=callgrind")
    with tempfile.TemporaryDirectory() as folder, Stage(folder) as stage:
        for part in args.parts or PARTS:
            PARTS[part](stage, args.quick)


if __name__ == "__main__":
    sys.exit(main())
