#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""bans -- what invalidations by tag and prefix cost, as ratios measured in one run on one machine (`make bench-bans`).

    bench/bans.py [--quick]

Prints Markdown for bench/results; progress goes to standard error. Needs build/release/terraced, terrace-bench and bench_bans.

All values are older than all bans, so that no check ends at its first comparison, and no ban binds any of them.
"""

import argparse
import collections
import pathlib
import statistics
import subprocess
import sys
import tempfile

from measure import (BENCH, CONNECTIONS, ROOT, Stage, address, alternating, bench, cores, fail, machine, pin, progress, ratios,
                     spread, table, until)

from envelopes import seal  # measure knows where the journeys lie

VALUE_BYTES = 32
BANS = 100_000
TAGS = 8
VERSION = (1 << 32) + 1  # of the first epoch, before anything else
GOAL = 1.10
CONFIG = """
[namespace bench]
prefix = key:
format = managed
max-ttl = 24h
mode = bounded 10s
"""

Size = collections.namedtuple("Size", "keys rounds window_s items")
FULL = Size(keys=20_000, rounds=7, window_s=0.7, items=50_000)
QUICK = Size(keys=2_000, rounds=3, window_s=0.3, items=5_000)


def node_of(stage, text=CONFIG):
    """A node with a Redis of its own."""
    path = pathlib.Path(stage.folder) / f"{stage.name('bans')}.conf"
    path.write_text(text)
    server = stage.redis()
    return server, stage.node("--threads", "1", "--memory", "512mb", str(path), l2=server)


def put(server, names, tags=()):
    with server.wire() as conn:
        envelope = seal(b"v" * VALUE_BYTES, version=VERSION, tags=tags)
        for at in range(0, len(names), 1000):
            conn.pipeline([["SET", name, envelope] for name in names[at:at + 1000]])


def read(node, names):
    with node.wire() as conn:
        conn.ask("CACHE.LASTSEQ")  # what the writing announced is applied
        for at in range(0, len(names), 1000):
            if any(reply != b"v" * VALUE_BYTES for reply in conn.pipeline([["GET", name] for name in names[at:at + 1000]])):
                fail("a value is not there, or is dead")


def ban(node, kind, texts):
    with node.wire() as conn:
        for at in range(0, len(texts), 1000):
            reply = conn.ask("CACHE.INVALIDATE", kind, *texts[at:at + 1000], "NS", "bench")
            if not isinstance(reply, list):
                fail(f"{kind}: {reply}")
    until(lambda: int(node.info()["bans_live"]) >= len(texts), 10, "all are live")


def hit_row(size, nodes, pipeline, rest):
    def run(name, turn):
        progress(f"hits: P={pipeline}, round {turn + 1}, {name}")
        got = bench("--target", address(nodes[name]), "--op", "get", "--pid", nodes[name].pid, "-c", CONNECTIONS, "-P",
                    pipeline, "-k", size.keys, "-w", size.window_s / 5, "-d", size.window_s, "--seed", turn + 1, on=rest)
        if got["tiers"]["l1_hit_ratio"] < 0.9999:
            fail(f"node {name}: not all hits: {got['tiers']}")
        return got["server_cpu_us"]
    figures = alternating(size.rounds, list(nodes), run)
    cells = [pipeline, spread(figures["none"], 3)]
    for name, base in (("prefixes", "none"), ("tags", "no bans, tags")):
        ratio = ratios(figures, name, base)
        cells += [spread(ratio), "yes" if statistics.median(ratio) <= GOAL else "NO"]
    return cells + [spread(ratios(figures, name, "none")) for name in ("no bans, tags", "control")]


def hits(size):
    own, rest = cores()
    names = [f"key:{number:012d}" for number in range(size.keys)]
    with tempfile.TemporaryDirectory() as folder, Stage(folder) as stage:
        nodes = {}
        for kind in ("none", "prefixes", "tags", "no bans, tags", "control"):
            progress(f"a node with {kind}")
            server, nodes[kind] = node_of(stage)
            put(server, names, [f"tag:{i}" for i in range(TAGS)] if "tags" in kind else ())
            if kind == "prefixes":
                ban(nodes[kind], "PREFIX", [f"key:9{i:06d}{'00000000'[:i % 8]}" for i in range(BANS)])
            elif kind == "tags":
                ban(nodes[kind], "TAG", [f"gone:{i}" for i in range(BANS)])
            read(nodes[kind], names)
            pin(nodes[kind].process, own)
            pin(server.process, rest)
        rows = [hit_row(size, nodes, pipeline, rest) for pipeline in (1, 16, 64)]
        taken = int(nodes["prefixes"].info()["bans_bytes"])
    table("The node's CPU time per GET hit on a managed namespace",
          ["pipeline", "no bans, us per GET", f"{BANS} prefixes, ratio", f"at most {GOAL}", f"{BANS} tags to none, values with {TAGS}",
           f"at most {GOAL}", f"values with {TAGS} tags to those without, no bans", "control: another one with no bans, ratio"], rows,
          f"The same binary; all hits in L1, {size.keys} keys read at random, values of {VALUE_BYTES} bytes, older than all bans; "
          f"prefixes of 8 lengths; {CONNECTIONS} connections, one worker; rounds: {size.rounds} of {size.window_s} s, alternating, "
          "median (least-most). The node on core 0, the load on the others. The control is what the machine calls different "
          f"where nothing is.\n\n{BANS} prefixes take {taken / BANS:.0f} bytes each on a node.")


def items(size):
    rows = []
    with tempfile.TemporaryDirectory() as folder, Stage(folder) as stage:
        for count in (0, 1, 4, TAGS):
            progress(f"items with {count} tags")
            server, node = node_of(stage)
            names = [f"key:{number:012d}" for number in range(size.items)]
            before = server.client().info("memory")["used_memory"]
            put(server, names, [f"product:{i:06d}" for i in range(count)])
            stored = server.client().info("memory")["used_memory"] - before
            read(node, names)
            rows.append([count, f"{int(node.info()['l1_bytes_used']) / size.items:.1f}", f"{stored / size.items:.0f}"])
            node.end()
    table("Memory of an item by its tags", ["tags", "bytes in L1", "bytes in Redis"], rows,
          f"{size.items} values of {VALUE_BYTES} bytes with keys of 16, tags of 14 bytes. L1 keeps 8 bytes of each.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of it: does it run?")
    args = parser.parse_args()
    size = QUICK if args.quick else FULL
    if not pathlib.Path(BENCH).exists():
        fail(f"{BENCH} is not there: `make` builds it")
    machine("What invalidation by tag and prefix costs", "make bench-bans", f"{BANS} live bans; Redis and load on the other cores")
    hits(size)
    items(size)
    for keys in (size.keys, 5 * size.keys):
        print(f"\n## One check, in process, {keys} values in turn, ns\n")
        sys.stdout.flush()
        subprocess.run([ROOT / "build" / "release" / "bench_bans", str(keys)], check=True)
    print("\n\"hot\": one in a hundred of them. The best of 7 runs. A worker remembers 65,536 verdicts.")


if __name__ == "__main__":
    main()
