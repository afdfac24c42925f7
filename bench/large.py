#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""large -- how fast large values pass a node, and in how much memory (`make bench-large`).

    bench/large.py [--quick]

Prints Markdown for bench/results; progress goes to standard error. Needs build/release/terraced (TERRACED names another).
Clients read and write as fast as they can, and look at no byte. What a node takes is how far its VmHWM rose in a run."""

import argparse
import pathlib
import re
import statistics
import sys
import tempfile
import time

from measure import REDIS, Stage, load_average, machine, progress, said_by, spread, table

import wire  # measure knows where the journeys lie

MB = 1 << 20
CONFIG = "[namespace pages]\nprefix = m:\nformat = managed\nmemory = 16mb\nhard-timeout = 60s\n"


def peak(node):
    with open(f"/proc/{node.pid}/status", encoding="ascii") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read()).group(1)) / 1024


def read(server, key, size):
    """Seconds of a GET."""
    with server.wire(timeout_s=300) as conn:
        room = bytearray(MB)
        began = time.perf_counter()
        conn.send(wire.encode(["GET", key]))
        head = b"$%d\r\n" % size
        left = size + len(head) + 2
        while left > 0:
            got = conn.sock.recv_into(room)
            if left == size + len(head) + 2 and not room.startswith(head[:got]):
                raise AssertionError(bytes(room[:min(got, 200)]))
            if got == 0:
                raise ConnectionError(f"{left} bytes before the end")
            left -= got
        return time.perf_counter() - began


def write(server, key, size):
    """Seconds of a SET."""
    part = b"v" * MB
    with server.wire(timeout_s=300) as conn:
        began = time.perf_counter()
        conn.send(b"*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n" % (len(key), key.encode(), size))
        for _ in range(size // MB):
            conn.sock.sendall(part)
        conn.send(b"\r\n")
        if conn.read() != b"OK":
            raise AssertionError("not set")
        return time.perf_counter() - began


def rows_of(stage, sizes, rounds):
    redis_server = stage.redis()
    path = stage.folder / "large.conf"
    path.write_text(CONFIG)
    for size in sizes:
        runs = {name: [] for name in ("GET", "SET", "managed GET")}
        direct = {"GET": [], "SET": []}
        grew = {name: 0.0 for name in runs}
        writer = stage.node(str(path), "--threads", "1", "--memory", "1gb", "--l2-timeout", "60s", l2=redis_server)
        write(writer, "m:k", size * MB)  # in an envelope
        writer.end()
        for turn in range(rounds):
            direct["SET"].append(write(redis_server, "k", size * MB))
            direct["GET"].append(read(redis_server, "k", size * MB))
            for name, run in (("SET", lambda node, size=size: write(node, "k", size * MB)), ("GET", lambda node, size=size: read(node, "k", size * MB)),
                              ("managed GET", lambda node, size=size: read(node, "m:k", size * MB))):
                progress(f"{size} MiB, round {turn + 1}, {name}")
                node = stage.node(str(path), "--threads", "1", "--memory", "64mb", "--l2-timeout", "60s", l2=redis_server)
                before = peak(node)
                first = run(node)
                runs[name].append(min(first, run(node)) if name != "SET" else first)
                grew[name] = max(grew[name], peak(node) - before)
                node.end()
        for name, seconds in runs.items():
            straight = statistics.median(direct[name.split()[-1]])
            yield [f"{size} MiB", name, spread([size / s for s in seconds], 0), f"{size / straight:.0f}",
                   f"{statistics.median(seconds) / straight:.2f}", f"{grew[name]:.1f}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="one small value, one round: shape, not figures")
    arguments = parser.parse_args()
    sizes, rounds = ([64], 1) if arguments.quick else ([64, 256, 500], 2)
    began = time.monotonic()
    machine("Large values through a node", " ".join(["bench/large.py", *sys.argv[1:]]),
            f"{said_by(REDIS, '--version').split(' sha')[0]}; all on loopback, nothing saved to disk")
    with tempfile.TemporaryDirectory() as folder, Stage(pathlib.Path(folder)) as stage:
        table("One client, one value", ["value", "command", "MiB/s through a node", "straight to Redis", "ratio of seconds", "node grew, MiB"],
              list(rows_of(stage, sizes, rounds)),
              f"A node with 64 MiB of L1 and one thread, a new one for each run; rounds: {rounds}, median (least-most). GET is the better "
              "of the first, which finds out that the value is large, and the second.")
    print(f"\nTook {time.monotonic() - began:.0f} s; load average after {load_average()}.")


if __name__ == "__main__":
    main()
