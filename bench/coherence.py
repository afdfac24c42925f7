#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""coherence -- what coherence costs, as ratios measured in one run on one machine (`make bench-coherence`).

    bench/coherence.py [--quick] [QUESTION ...]      propagation writes idle hits sync strict fetch; none: all of them

Prints Markdown for bench/results; progress goes to standard error. Needs build/release/terraced and terrace-bench
(TERRACED, BENCH name others).

How CPU time is read and rounds are compared: measure.py; what is printed is the median and the extremes of the rounds.
For CPU time the measured process has a core of its own and everything else the other cores. Latencies are measured
without pinning.
"""

import argparse
import collections
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from measure import (CONNECTIONS, REDIS, TERRACED, Stage, address, alternating, bench, cores, cpu_ns, fail, finish,
                     load_average, machine, ms, pin, progress, quantile, ratios, said_by, spread, start_bench, table, until)

import wire  # measure knows where the journeys lie

VALUE_BYTES = 32
GROUPS = (1, 2, 5)  # nodes on one Redis
HIT_GOAL = 1.03
UNSUPPORTED = 78  # exit code of a node that refuses its configuration

Size = collections.namedtuple("Size", "samples load_rate rounds hit_rounds writes keys idle_s window_s asks batches")
FULL = Size(samples=2000, load_rate=4000, rounds=5, hit_rounds=7, writes=300_000, keys=100_000, idle_s=10, window_s=1.0,
            asks=1000, batches=2000)
QUICK = Size(samples=60, load_rate=2000, rounds=1, hit_rounds=1, writes=20_000, keys=5_000, idle_s=0.5, window_s=0.15,
             asks=30, batches=100)


def group(stage, count, *flags):
    """A Redis and so many nodes, each of which hears all the others."""
    redis_server = stage.redis()
    nodes = [stage.node("--threads", "1", *flags, l2=redis_server) for _ in range(count)]
    for node in nodes:
        with node.wire() as conn:
            until(lambda conn=conn: len(conn.ask("CACHE.NODES")) >= count, 10, f"{node.name} hears {count} nodes")
    return redis_server, nodes


# --- how long the old value lives elsewhere ---

def propagation(size, redis_server, nodes):
    rows = []
    for loaded in (False, True):
        for writer in ("a node", "a stranger in Redis"):
            progress(f"propagation: {len(nodes)} nodes, {writer}, {'loaded' if loaded else 'idle'}")
            rows.append(propagation_row(size, redis_server, nodes, writer, loaded))
    return rows


def propagation_row(size, redis_server, nodes, writer, loaded):
    words = ["--propagation", "--targets", ",".join(map(address, nodes)), "-n", size.samples, "--key-prefix", "held:"]
    if writer != "a node":
        words += ["--redis", address(redis_server)]
    load = None
    if loaded:
        load = start_bench("--target", address(nodes[0]), "--op", "set", "--rate", size.load_rate, "-c", 10, "-d", 600,
                           "--key-prefix", "load:", "-k", size.keys)
        with redis_server.wire() as conn:
            until(lambda: conn.ask("DBSIZE") > 1024, 10, "the load is there")
    try:
        got = bench(*words)
    finally:
        if load:
            load.terminate()
    done = f"{finish(load)['rps']:.0f} SET/s" if load else "idle"
    after, sent, read, gap = (got[f"{name}_ms"] for name in ("after_ack", "since_sent", "answered", "resolution"))
    return [len(nodes), writer, done, ms(after["p50"]), ms(after["p99"]), ms(after["max"]), ms(sent["p50"]), ms(sent["p99"]),
            ms(sent["max"]), ms(read["p50"]), ms(read["p99"]), f"{100 * got['at_ack'] / got['samples']:.0f} %",
            ms(gap["p50"]), ms(gap["p99"])]


# --- what a write costs Redis ---

class Fleet:
    """Redis alone, and with 1, 2 and 5 nodes; all there at the same time."""

    def __init__(self, stage, keys):
        own, rest = cores()
        self.rest = rest
        self.members = {0: (stage.redis(), [])}
        for count in GROUPS:
            self.members[count] = group(stage, count)
        for redis_server, nodes in self.members.values():
            bench("--target", address(redis_server), "--op", "ping", "-n", 1, "--fill", "-k", keys, "-s", VALUE_BYTES)
            pin(redis_server.process, own)
            for node in nodes:
                pin(node.process, rest)

    def write_us(self, count, writes, keys, pipeline, seed):
        """Redis' CPU time of one write, made through all nodes alike."""
        redis_server, nodes = self.members[count]
        targets = nodes or [redis_server]
        before = cpu_ns(redis_server.process)
        loads = [start_bench("--target", address(target), "--op", "set", "-n", writes // len(targets), "-c",
                             CONNECTIONS // len(targets), "-P", pipeline, "-k", keys, "-s", VALUE_BYTES, "--seed",
                             seed * 10 + i, on=self.rest)
                 for i, target in enumerate(targets)]
        results = [finish(load) for load in loads]
        used = cpu_ns(redis_server.process) - before
        if any(result["errors"] for result in results):
            fail(f"SET failed: {[result['first_error'] for result in results]}")
        return used / 1e3 / sum(result["requests"] for result in results)


def writes(size, fleet):
    rows = []
    for pipeline in (16, 64):
        def run(count, turn, pipeline=pipeline):
            progress(f"writes: P={pipeline}, round {turn + 1}, {count} nodes")
            return fleet.write_us(count, size.writes, size.keys, pipeline, turn + 1)
        figures = alternating(size.rounds, [0, *GROUPS], run)
        rows.append([pipeline, "none, straight to Redis", spread(figures[0], 3), "1"])
        rows += [[pipeline, count, spread(figures[count], 3), spread(ratios(figures, count, 0))] for count in GROUPS]
    table("Redis' CPU time per write", ["pipeline", "nodes", "us of Redis per SET", "ratio to straight"], rows,
          f"{size.writes} SETs of {VALUE_BYTES} bytes in {size.keys} keys per run, {CONNECTIONS} connections spread over "
          f"the nodes; rounds: {size.rounds}, alternating, median (least-most). Redis on core 0, nodes and load on the "
          "others. A node bundles what its clients send, so it may cost Redis less than its clients would.")


def idle(size, fleet):
    progress(f"idle: {size.idle_s} s")
    began = time.monotonic()
    before = {count: cpu_ns(members[0].process) for count, members in fleet.members.items()}
    time.sleep(size.idle_s)  # the subject: what happens while nobody asks
    seconds = time.monotonic() - began
    rows = [[count or "none", f"{(cpu_ns(members[0].process) - before[count]) / 1e9 / seconds * 100:.3f}"]
            for count, members in fleet.members.items()]
    table("Redis' CPU time while nobody asks", ["nodes", "% of a core"], rows,
          f"{size.idle_s} s; each node beats every T/4 = 250 ms. Redis alone has its own timers.")


def redis_costs(size, asked):
    with tempfile.TemporaryDirectory() as folder, Stage(folder) as stage:
        fleet = Fleet(stage, size.keys)
        for name, ask in (("writes", writes), ("idle", idle)):
            if name in asked:
                ask(size, fleet)


# --- what a hit costs the node ---

def read_all(node, keys):
    """So that L1 holds every key."""
    names = [f"key:{number:012d}" for number in range(keys)]
    with node.wire() as conn:
        for at in range(0, keys, 1000):
            replies = conn.pipeline([["GET", name] for name in names[at:at + 1000]])
            if not all(isinstance(reply, bytes) and not isinstance(reply, wire.Error) for reply in replies):
                fail("a key is not there")


def hits(size, nodes, rest):
    rows = [hit_row(size, nodes, pipeline, rest) for pipeline in (1, 16, 64)]
    table("The node's CPU time per hit", ["pipeline", "alone, us per GET", "with L2, us per GET", "ratio",
          f"goal {HIT_GOAL}", "control: another one alone, ratio"], rows,
          f"The same binary; all hits in L1, {size.keys} keys of {VALUE_BYTES} bytes, {CONNECTIONS} connections, one worker; "
          f"rounds: {size.hit_rounds} of {size.window_s} s, alternating, median (least-most). The node on core 0, the load on "
          "the others. The control is what the machine calls different where nothing is.")


def hit_row(size, nodes, pipeline, rest):
    def run(name, turn):
        progress(f"hits: P={pipeline}, round {turn + 1}, {name}")
        got = bench("--target", address(nodes[name]), "--op", "get", "--pid", nodes[name].pid, "-c", CONNECTIONS, "-P",
                    pipeline, "-k", size.keys, "-w", size.window_s / 5, "-d", size.window_s, "--seed", turn + 1, on=rest)
        if got["tiers"]["l1_hit_ratio"] < 0.9999:
            fail(f"node {name}: not all hits: {got['tiers']}")
        return got["server_cpu_us"]
    figures = alternating(size.hit_rounds, list(nodes), run)
    ratio = ratios(figures, "with L2", "alone")
    return [pipeline, spread(figures["alone"], 3), spread(figures["with L2"], 3), spread(ratio),
            "yes" if statistics.median(ratio) <= HIT_GOAL else "NO", spread(ratios(figures, "control", "alone"))]


def fetch(size, nodes, rest):
    node = nodes["with L2"]
    keys = [f"key:{number:012d}" for number in range(64)]
    with node.wire() as conn:
        probed = conn.ask("CACHE.FETCH", keys[0])
    title, head = "CACHE.FETCH to GET, the node's CPU time per hit", ["pipeline", "us per GET", "us per CACHE.FETCH", "ratio"]
    if isinstance(probed, wire.Error):
        table(title, head, [], f"Not measured: CACHE.FETCH answers {probed.decode()}")
        return
    before, misses = os.sched_getaffinity(0), node.info()["l1_misses"]
    os.sched_setaffinity(0, rest)
    rows = [fetch_row(size, node, keys, pipeline) for pipeline in (16, 64)]
    os.sched_setaffinity(0, before)
    if node.info()["l1_misses"] != misses:
        fail("not all reads were hits")
    table(title, head, rows, f"{size.batches} batches a run on one connection, all hits; rounds: {size.rounds}, alternating, "
          "median (least-most).")


def fetch_row(size, node, keys, pipeline):
    def run(command, turn):
        progress(f"fetch: P={pipeline}, round {turn + 1}, {command}")
        # A PING ends the batch, so the replies need not be understood to know that all came.
        batch = b"".join(wire.encode([command, key]) for key in keys[:pipeline]) + wire.encode(["PING"])
        with node.socket() as sock:
            before = cpu_ns(node.process)
            for _ in range(size.batches):
                sock.sendall(batch)
                tail = b""
                while tail != b"+PONG\r\n":
                    tail = (tail + sock.recv(1 << 16))[-7:]
            return (cpu_ns(node.process) - before) / 1e3 / (size.batches * pipeline)
    figures = alternating(size.rounds, ["GET", "CACHE.FETCH"], run)
    return [pipeline, spread(figures["GET"], 3), spread(figures["CACHE.FETCH"], 3),
            spread(ratios(figures, "CACHE.FETCH", "GET"))]


def hit_costs(size, asked):
    """The questions about hits share nodes that hold the same keys."""
    own, rest = cores()
    with tempfile.TemporaryDirectory() as folder, Stage(folder) as stage:
        redis_server, (fenced,) = group(stage, 1)
        nodes = {"alone": stage.node("--threads", "1"), "with L2": fenced, "control": stage.node("--threads", "1")}
        for server in (nodes["alone"], nodes["control"], redis_server):
            bench("--target", address(server), "--op", "ping", "-n", 1, "--fill", "-k", size.keys, "-s", VALUE_BYTES)
        with fenced.wire() as conn:
            conn.ask("CACHE.LASTSEQ")  # what the filling announced is applied
        for node in nodes.values():
            read_all(node, size.keys)
            pin(node.process, own)
        pin(redis_server.process, rest)
        for name, ask in (("hits", hits), ("fetch", fetch)):
            if name in asked:
                ask(size, nodes, rest)


# --- what waiting for all nodes costs ---

def asked_ms(conn, *words):
    began = time.monotonic_ns()
    reply = conn.ask(*words)
    took = (time.monotonic_ns() - began) / 1e6
    if isinstance(reply, wire.Error):
        fail(f"{' '.join(words)}: {reply.decode()}")
    return took


def compared(nodes, took, base):
    """A row for each kind of request."""
    middle = quantile(took[base], 0.5)
    return [[len(nodes), name, ms(quantile(values, 0.5)), ms(quantile(values, 0.99)), ms(max(values)),
             f"{quantile(values, 0.5) / middle:.2f}"] for name, values in took.items()]


def sync(size, _, nodes):
    progress(f"sync: {len(nodes)} nodes")
    took = collections.defaultdict(list)
    with nodes[0].wire() as conn, nodes[-1].wire() as other:
        conn.ask("CACHE.INVALIDATE", "KEY", "nobody", "SYNC", "5000")  # see the note below the table
        for number in range(size.asks):
            for name, tail in (("INVALIDATE", []), ("INVALIDATE SYNC", ["SYNC", "2000"])):
                key = f"key:{number}"
                took["SET"].append(asked_ms(conn, "SET", key, "x" * VALUE_BYTES))
                other.ask("GET", key)
                took[name].append(asked_ms(conn, "CACHE.INVALIDATE", "KEY", key, *tail))
    return compared(nodes, took, "SET")


def strict(size, _, nodes):
    progress(f"strict: {len(nodes)} nodes")
    took = collections.defaultdict(list)
    with nodes[0].wire() as conn:
        conn.ask("SET", "strict:nobody", "x")
        for number in range(size.asks):
            for mode in ("bounded", "strict"):
                took[mode].append(asked_ms(conn, "SET", f"{mode}:{number}", "x" * VALUE_BYTES))
    return compared(nodes, took, "bounded")


def latencies(size, asked):
    """The questions about waiting share their nodes."""
    kinds = {"propagation": propagation, "sync": sync, "strict": strict}
    rows = {name: [] for name in kinds if name in asked}
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "strict.ini"
        config.write_text("[namespace strict]\nprefix = strict:\nmode = strict 1s\nmemory = 8mb\n")
        checked = subprocess.run([TERRACED, str(config), "--check-config"], capture_output=True, text=True, check=False)
        has_strict = checked.returncode != UNSUPPORTED
        for count in (2, 5):
            with Stage(pathlib.Path(folder) / str(count)) as stage:
                members = group(stage, count, *[str(config)] * has_strict)
                for name in rows:
                    if name != "strict" or has_strict:
                        rows[name] += kinds[name](size, *members)
    if "propagation" in rows:
        table("How long another node serves the old value",
              ["nodes", "written by", "meanwhile", "after the acknowledgement: p50", "p99", "max ms",
               "after sending the write: p50", "p99", "max ms", "new value read: p50", "p99 ms", "new at the acknowledgement",
               "resolution p50", "p99 ms"], rows["propagation"],
              f"{size.samples} writes each, one at a time, the other nodes in turn. The node held the key in L1, fresh, and "
              "was asked for it every 20 us or as fast as the machine goes, without waiting for replies (resolution: between "
              "the last poll that brought the old value and the first that brought the new one). \"After\" is until the "
              "first poll *sent* that brought the new value: whoever asks later gets it, too; 0 where that was before. \"New "
              "value read\" is until it was in our hands, after the acknowledgement: it holds the node's own read from "
              f"Redis. Load: {size.load_rate} SET/s of other keys through the first node, open loop.",
              "`terrace-bench --propagation --targets A,B,...` (and `--redis R`); the clock is CLOCK_MONOTONIC in one "
              "process.")
    head = ["nodes", "request", "p50 ms", "p99 ms", "max ms"]
    if "sync" in rows:
        table("CACHE.INVALIDATE KEY, and with SYNC", [*head, "p50 to SET's"], rows["sync"],
              f"{size.asks} each, one at a time, through one node; another node held the key. SYNC 2000: the answer waits "
              "until every live node has applied it. A node that has heard the bus for less than T waits out T, so one that "
              "is not counted was asked first. Timed in Python, some 20 us of which are its own.")
    if "strict" in rows:
        table("A strict SET to a bounded one", [*head, "p50 to bounded's"], rows["strict"],
              f"{size.asks} each, one at a time, in turn, through one node. Timed in Python, some 20 us of which are its own."
              if has_strict else f"Not measured: {checked.stderr.strip().rpartition(': ')[2]}.")


# --- the run ---

QUESTIONS = ("propagation", "writes", "idle", "hits", "sync", "strict", "fetch")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a few samples of everything: shape, not figures")
    parser.add_argument("question", nargs="*", help=" ".join(QUESTIONS))
    arguments = parser.parse_args()
    unknown = [name for name in arguments.question if name not in QUESTIONS]
    if unknown:
        parser.error(f"no question {unknown[0]}: {' '.join(QUESTIONS)}")
    asked = arguments.question or QUESTIONS
    size = QUICK if arguments.quick else FULL
    began = time.monotonic()
    machine("What coherence costs", " ".join(["bench/coherence.py", *sys.argv[1:]]),
            f"{said_by(REDIS, '--version').split(' sha')[0]}; all on loopback, nothing saved to disk")
    for names, ask in ((("propagation", "sync", "strict"), latencies), (("writes", "idle"), redis_costs),
                       (("hits", "fetch"), hit_costs)):
        if set(names) & set(asked):
            ask(size, asked)
    print(f"\nTook {time.monotonic() - began:.0f} s; load average after {load_average()}.")


if __name__ == "__main__":
    main()
