#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""instructions -- what bans and tags add to a hit, counted in instructions: the same on a machine that is busy (`make
bench-instructions`). Needs valgrind, build/release/terraced and some minutes.

    bench/instructions.py [--quick]

Counted is what a worker does with requests that were read (worker_run_batch): look-up, check of bans, answer. Reading, parsing and
sending are not, so each ratio is more than that of the whole hit. What waits for memory is not seen: `make bench-bans` times it.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
TERRACED = os.environ.get("TERRACED", str(ROOT / "build" / "release" / "terraced"))
FOLDER = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
COUNTED = pathlib.Path(FOLDER.name) / "terraced"
COUNTED.write_text("#!/bin/sh\nexec valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no "
                   f"--toggle-collect=worker_run_batch '{TERRACED}' \"$@\"\n")
COUNTED.chmod(0o755)
os.environ["TERRACED"] = str(COUNTED)  # the journeys' harness starts it

from bans import TAGS, VALUE_BYTES, ban, node_of, put, read  # noqa: E402
from measure import Stage, machine, progress, table  # noqa: E402

PIPELINE = 16


def per_hit(stage, kind, bans, rounds):
    progress(f"a node with {bans if kind != 'none' else 'no'} bans: {kind}")
    names = [f"key:{number:012d}" for number in range(2000)]
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the bans: does it run?")
    args = parser.parse_args()
    bans, rounds = (1000, 1) if args.quick else (100_000, 5)
    machine("What invalidation by tag and prefix adds to a hit, in instructions", "make bench-instructions", "valgrind --tool=callgrind")
    with tempfile.TemporaryDirectory() as folder, Stage(folder) as stage:
        counts = {kind: per_hit(stage, kind, bans, rounds) for kind in ("none", "prefixes", "no bans, tags", "tags")}
    rows = [[name, f"{counts[kind]:.0f}", f"{counts[kind] / counts[base]:.3f}"] for name, kind, base in (
        ("no bans, no tags", "none", "none"), (f"{bans} prefixes", "prefixes", "none"),
        (f"no bans, values with {TAGS} tags", "no bans, tags", "none"), (f"{bans} tags, values with {TAGS}", "tags", "no bans, tags"))]
    table("Instructions per GET hit on a managed namespace", ["live", "instructions", "ratio to the same without bans or tags"], rows,
          f"2000 keys in turn, P={PIPELINE}, values of {VALUE_BYTES} bytes, older than all bans, of which none binds them; one worker.")


if __name__ == "__main__":
    sys.exit(main())
