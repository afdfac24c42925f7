#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""managed -- what writes of managed keys cost Redis, as ratios measured in one run on one machine (`make bench-managed`).

    bench/managed.py [--quick]

Prints Markdown for bench/results; progress goes to standard error. Needs build/release/terraced and terrace-bench
(TERRACED, BENCH name others). How CPU time is read and rounds are compared: measure.py.
"""

import argparse
import collections
import pathlib
import sys
import tempfile
import time

from measure import (CONNECTIONS, REDIS, ROOT, Stage, address, alternating, bench, cores, cpu_ns, load_average, machine, pin,
                     progress, ratios, said_by, spread, table)

from envelopes import seal  # measure knows where the journeys lie
import wire

Size = collections.namedtuple("Size", "rounds writes calls")
FULL = Size(rounds=5, writes=200_000, calls=20_000)
QUICK = Size(rounds=1, writes=10_000, calls=1_000)
VALUE_BYTES = 32
KEYS = 100_000
DB = 15
RANDOM = b"managed!"


def write_us(stage, size, servers, name, pipeline, turn):
    """Redis' CPU time of one SET."""
    redis_server, target = servers[name]
    prefix = "m:" if name == "managed" else "p:"
    before = cpu_ns(redis_server.process)
    got = bench("--target", address(target), "--op", "set", "-n", size.writes, "-c", CONNECTIONS, "-P", pipeline, "-k", KEYS,
                "-s", VALUE_BYTES, "--key-prefix", prefix, "--seed", turn + 1, on=stage.rest)
    return (cpu_ns(redis_server.process) - before) / 1e3 / got["requests"]


def writes(stage, size, path):
    straight, behind = stage.redis(), stage.redis()
    node = stage.node(str(path), "--threads", "1", l2=behind)
    node.wait_synced()
    servers = {"straight": (straight, straight), "plain": (behind, node), "managed": (behind, node)}
    for server in straight, behind:
        pin(server.process, stage.own)
    pin(node.process, stage.rest)
    for name in servers:
        write_us(stage, size, servers, name, 16, 0)  # the tables have grown
    rows = []
    for pipeline in 1, 16, 64:
        def run(name, turn, pipeline=pipeline):
            progress(f"writes: P={pipeline}, round {turn + 1}, {name}")
            return write_us(stage, size, servers, name, pipeline, turn)
        figures = alternating(size.rounds, list(servers), run)
        rows.append([pipeline, "straight to Redis", spread(figures["straight"], 3), "1"])
        rows += [[pipeline, f"{name}, through a node", spread(figures[name], 3), spread(ratios(figures, name, "straight"))]
                 for name in ("plain", "managed")]
    table("Redis' CPU time per SET", ["pipeline", "keys", "us of Redis", "ratio to straight"], rows,
          f"{size.writes} SETs of {VALUE_BYTES} bytes in {KEYS} keys per run, {CONNECTIONS} connections; rounds: {size.rounds}, "
          "alternating, median (least-most). Redis on core 0, the node and the load on the others. A node bundles what its "
          "clients send, so it may cost Redis less than its clients would.")

def call_of(name, epoch, commands, by_name):
    """One request: so many puts of one call."""
    whole = seal(b"v" * VALUE_BYTES)
    words = [b"EVALSHA", name] if by_name else [b"EVAL", (ROOT / "tiers/scripts/managed.lua").read_bytes()]
    words += [b"0", str(DB).encode(), str(epoch).encode(), RANDOM, b"16384", bytes(64 + 24 * commands + 8)]
    for i in range(commands):
        words += [b"P\0" + whole[:8], b"m:%020d" % i, b"0", whole[16:]]
    return wire.encode(words)


def calls(stage, size):
    server = stage.redis()
    pin(server.process, stage.own)
    beat = (ROOT / "tiers/scripts/beat.lua").read_text()
    script = (ROOT / "tiers/scripts/managed.lua").read_text()
    epoch = server.client().eval(beat, 0, DB, 0, RANDOM, 7, 10_000, b"")[0]
    name = server.client().script_load(script).encode()
    rows = []
    for commands in 1, 16, 64:
        count = max(size.calls // commands, 100)
        requests = {way: call_of(name, epoch, commands, way == "EVALSHA") for way in ("EVALSHA", "EVAL")}

        def run(way, turn, count=count, commands=commands, requests=requests):
            progress(f"calls: {commands} commands, round {turn + 1}, {way}")
            with server.wire() as conn:
                before = cpu_ns(server.process)
                for _ in range(count // 20):
                    conn.send(requests[way] * 20)
                    for _ in range(20):
                        seq = conn.read_raw()[1][0]
                        assert seq > 0, "the epoch is another one"
                return (cpu_ns(server.process) - before) / 1e3 / (count // 20 * 20)
        figures = alternating(size.rounds, ["EVALSHA", "EVAL"], run)
        rows += [[commands, way, spread(figures[way], 2), spread([us / commands for us in figures[way]], 2)] for way in figures]
    table("Redis' CPU time per call of the script", ["commands", "by", "us of Redis", "us per command"], rows,
          f"Calls of puts of {VALUE_BYTES} bytes, 20 in a pipeline, one connection; rounds: {size.rounds}, alternating, median "
          "(least-most). EVAL carries the text of the script, which Redis hashes.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="one short round of everything: shape, not figures")
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    began = time.monotonic()
    machine("What writes of managed keys cost Redis", " ".join(["bench/managed.py", *sys.argv[1:]]),
            f"{said_by(REDIS, '--version').split(' sha')[0]}; all on loopback, nothing saved to disk")
    with tempfile.TemporaryDirectory() as folder, Stage(pathlib.Path(folder)) as stage:
        stage.own, stage.rest = cores()
        path = pathlib.Path(folder) / "managed.conf"
        path.write_text("[namespace m]\nprefix = m:\nformat = managed\n")
        writes(stage, size, path)
        calls(stage, size)
    print(f"\nTook {time.monotonic() - began:.0f} s; load average after {load_average()}.")


if __name__ == "__main__":
    main()
