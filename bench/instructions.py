#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""instructions -- what requests cost in instructions, and what bans and tags add to a hit: the same on a machine that is busy
(`make bench-instructions`). Needs valgrind, build/release/terraced and some minutes.

    bench/instructions.py [--quick] [--profiles FOLDER] [requests | roads | bans ...]

requests: all that the worker's thread runs for a request, libraries included, from what it is woken by until it waits again; what
the system does for it is not seen. One connection, which waits for the answers of each pipeline, so a turn of the loop has one of
them. `--hot-keys 0`: what is sampled of reads is bounded per second, and a second is few requests here.

roads: the same of what does not end in L1 (misses, writes, commands that L2 serves), and how often the worker's thread asks malloc,
calloc or realloc for memory meanwhile. `--profiles` keeps what callgrind wrote of that thread, for callgrind_annotate.

bans: what a worker does with requests that were read (worker_run_batch): look-up, check of bans, answer. Reading, parsing and
sending are not, so each ratio is more than that of the whole hit.

What waits for memory is not seen: `make bench` and `make bench-bans` time it.
"""

import argparse
import itertools
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
from envelopes import seal  # noqa: E402
from wire import encode  # noqa: E402

PIPELINE = 16
KEYS = 20_000
COLUMNS = (("GET hit", 1), ("GET hit", 16), ("GET hit", 64), ("SET", 1), ("SET", 16), ("SET", 64), ("GET miss", 16))
BATCH_FLAGS = "--callgrind-out-file=/dev/null --collect-atstart=no --toggle-collect=worker_run_batch"
THREAD_FLAGS = f"--callgrind-out-file={FOLDER.name}/%p --separate-threads=yes"


# --- requests ---

def control(order, node):
    subprocess.run(["callgrind_control", order, str(node.process.pid)], check=True, capture_output=True)


def threads(node):
    """What callgrind wrote since --zero of the worker's thread and of the control loop's: (instructions, text) of each."""
    control("--dump", node)
    found = {}
    for path in pathlib.Path(FOLDER.name).glob(f"{node.process.pid}.*"):
        text = path.read_text()
        total = max((int(total) for total in re.findall(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)), default=0)
        for name in "worker_on_check", "control_on_tick":
            if name in text:
                found[name] = max(found.get(name, (0, "")), (total, text))
        path.unlink()
    return found["worker_on_check"], found.get("control_on_tick", (0, ""))


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
    return threads(node)[0][0] / (pipeline * len(rounds))


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


def requests_table(stage, quick, _):
    rows = [requests_row(stage, quick, with_l2) for with_l2 in (False, True)]
    table("Instructions of a worker's thread per request", ["node", *(f"{kind} P={pipeline}" for kind, pipeline in COLUMNS)], rows,
          f"{KEYS} keys of 16 bytes at random, values of {VALUE_BYTES} bytes, policy density, one connection.")


# --- roads ---

FIELDS = 4
TOGETHER = 8  # keys of an MGET
MANAGED = """
[namespace managed]
prefix = m:
format = managed
max-ttl = 24h
"""
WORD = "v" * VALUE_BYTES
BULK = b"$%d\r\n%b\r\n" % (VALUE_BYTES, WORD.encode())
# What is asked for with the next number that nobody has asked with, and the answer.
ROADS = {
    "GET, of L2": lambda i: (("GET", f"key:{i:012d}"), BULK),
    "GET, nowhere": lambda i: (("GET", f"none:{i:012d}"), b"$-1\r\n"),
    f"MGET of {TOGETHER}, of L2": lambda i: (("MGET", *(f"key:{i:06d}{j:06d}" for j in range(TOGETHER))),
                                             b"*%d\r\n" % TOGETHER + TOGETHER * BULK),
    "HGET, by L2": lambda i: (("HGET", f"hash:{i:012d}", "field:1"), BULK),
    "SET": lambda i: (("SET", f"key:{i:012d}", WORD), b"+OK\r\n"),
    "GET of a managed key, of L2": lambda i: (("GET", f"m:{i:012d}"), BULK),
    "SET of a managed key": lambda i: (("SET", f"m:{i:012d}", WORD), b"+OK\r\n"),
}


def put_all(server, count):
    """So many keys of each kind, before a node is there that would be told."""
    envelope = seal(WORD.encode())
    with server.wire() as conn:
        for at in range(0, count, 100):
            these = range(at, at + 100)
            conn.pipeline([("SET", f"key:{i:012d}", WORD) for i in these])
            conn.pipeline([("SET", f"m:{i:012d}", envelope) for i in these])
            conn.pipeline([("HSET", f"hash:{i:012d}", *(x for j in range(FIELDS) for x in (f"field:{j}", WORD))) for i in these])
            conn.pipeline([("SET", f"key:{i:06d}{j:06d}", WORD) for i in these for j in range(TOGETHER)])


def allocations(profile):
    """How often the thread called for memory, as callgrind tells: `cfn=(id) name`, the name only the first time, then `calls=n`."""
    names, calls, callee = {}, 0, None
    for line in profile.splitlines():
        if line.startswith(("fn=", "cfn=")):
            number, _, name = line.partition("=")[2].partition(" ")
            names.setdefault(number, name)
            callee = names[number] if line.startswith("cfn=") else callee
        elif line.startswith("calls=") and callee in ("malloc", "calloc", "realloc"):
            calls += int(line[6:].split()[0])
    return calls


def road(conn, node, name, pipeline, numbers, profiles):
    progress(f"    {name}, P={pipeline}")
    rounds = []
    for these in numbers:
        pairs = [ROADS[name](i) for i in these]
        rounds.append([(encode(words), reply) for words, reply in pairs])
    talk(conn, rounds[0])
    control("--zero", node)
    for pairs in rounds[1:]:
        talk(conn, pairs)
    (instructions, profile), (announced, _) = threads(node)
    if profiles:
        (pathlib.Path(profiles) / f"{name.replace(' ', '-').replace(',', '')}.{pipeline}").write_text(profile)
    count = pipeline * (len(rounds) - 1)
    figures = [f"{instructions / count:.0f}", f"{allocations(profile) / count:.1f}"]
    return figures if pipeline == 1 else [*figures, f"{announced / count:.0f}"]


def roads_table(stage, quick, profiles):
    counts = {pipeline: 16 * (20 if quick else 100) if pipeline > 1 else (100 if quick else 500) for pipeline in (1, 16)}
    server = stage.redis()
    put_all(server, sum(counts.values()) + 100)
    path = pathlib.Path(stage.folder) / "roads.conf"
    path.write_text(MANAGED)
    node = stage.node("--threads", "1", "--memory", "256mb", "--hot-keys", "0", str(path), l2=server,
                      env={**os.environ, "COUNTED": THREAD_FLAGS})
    node.wait_synced()
    rows = []
    with node.wire(timeout_s=300) as conn:
        conn.ask("CONFIG", "SET", "slowlog-log-slower-than", "60000000")  # valgrind makes all of them slow
        for name in ROADS:
            ahead = itertools.count()
            rows.append([name])
            for pipeline, count in counts.items():
                numbers = [[next(ahead) for _ in range(pipeline)] for _ in range(count // pipeline + 1)]
                rows[-1] += road(conn, node, name, pipeline, numbers, profiles)
    node.end()
    table("What does not end in L1, per request", ["request", "instructions, P=1", "calls for memory, P=1", "instructions, P=16",
                                                    "calls for memory, P=16", "instructions of the control loop, P=16"], rows,
          "The control loop hears what was written, and ticks meanwhile.", f"Each key once, values of {VALUE_BYTES} bytes, hashes of {FIELDS} fields, one worker, one connection.")


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


def bans_table(stage, quick, _):
    bans, rounds = (1000, 1) if quick else (100_000, 5)
    counts = {kind: per_hit(stage, kind, bans, rounds) for kind in ("none", "prefixes", "no bans, tags", "tags")}
    rows = [[name, f"{counts[kind]:.0f}", f"{counts[kind] / counts[base]:.3f}"] for name, kind, base in (
        ("no bans, no tags", "none", "none"), (f"{bans} prefixes", "prefixes", "none"),
        (f"no bans, values with {TAGS} tags", "no bans, tags", "none"), (f"{bans} tags, values with {TAGS}", "tags", "no bans, tags"))]
    table("Instructions per GET hit on a managed namespace", ["live", "instructions", "ratio to the same without bans or tags"], rows,
          f"2000 keys in turn, P={PIPELINE}, values of {VALUE_BYTES} bytes, older than all bans, of which none binds them; one worker.")


PARTS = {"requests": requests_table, "roads": roads_table, "bans": bans_table}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small part of it: does it run?")
    parser.add_argument("--profiles", metavar="FOLDER", help="where the profiles of roads are kept")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; none: all")
    args = parser.parse_args()
    unknown = [part for part in args.parts if part not in PARTS]
    if unknown:
        parser.error(f"no such part: {' '.join(unknown)}")
    machine("What requests cost, in instructions", "make bench-instructions", "valgrind --tool=callgrind")
    with tempfile.TemporaryDirectory() as folder, Stage(folder) as stage:
        for part in args.parts or PARTS:
            PARTS[part](stage, args.quick, args.profiles)


if __name__ == "__main__":
    sys.exit(main())
