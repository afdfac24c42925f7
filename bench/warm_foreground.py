#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""warm_foreground -- what clients feel of a warm job that runs at full rate: their p99 with and without it, in one run
(`make bench-warm-foreground`).

    bench/warm_foreground.py [--rate 5000] [--warm-rate 10000] [--rounds 36] [--slice 2] [--yield off] [--smoke]

One Redis, one node, one open loop of GETs at a fixed rate (a latency counts from when the request was due). Slices with and without a
job alternate, each round begins with the other, and each ratio is of one round. The job has more keys than the slice lasts, reads
each from L2 (mode force) and lands it in L1, at `warm-rate`. Two loads: `hits`, all of whose keys stand in L1, and `mixed`, of which a tenth
asks L2. With --yield off the targets are 0, so that the job gives way to nobody.

Four processes on few cores wait for each other, and a guest for its host: p99 of one slice differs from that of the next by more than
warming could do. So slices are short and many, and what is told is the median of the rounds' ratios and where it lies in 90 of
100 cases. Prints Markdown for bench/results; progress goes to standard error. Needs build/release/terraced and terrace-bench.
"""
import argparse
import json
import pathlib
import statistics
import sys
import tempfile
import time

from measure import (REDIS, Stage, address, alternating, bench, cores, fail, interval_of_median, load_average, machine, pin, progress, ratios,
                     said_by, spread, table, until)

GOAL = 1.2
KEYS = 50_000  # of the clients
VALUE_BYTES = 200
SHARES = {"hits": 1.0, "mixed": 0.9}  # of the clients' keys that there are
PERCENTILES = ("p50", "p99", "p99.9")


class Job:
    """One that has not come to its end when the slice does."""

    def __init__(self, node):
        self.node = node

    def __enter__(self):
        self.before = self.warmed()
        job = {"source": {"pattern": "warm:*"}, "mode": "force", "target": "self", "priority": 9}
        with self.node.wire(3) as conn:
            self.number = conn.ask("CACHE.WARM", "SUBMIT", json.dumps(job))
        if not isinstance(self.number, int):
            fail(f"the job is refused: {self.number}")
        until(lambda: self.warmed() > self.before, 30, "the job goes", every_s=0.02)
        self.before, self.began = self.warmed(), time.monotonic()
        return self

    def __exit__(self, *error):
        self.per_s = (self.warmed() - self.before) / (time.monotonic() - self.began)
        with self.node.wire(3) as conn:
            self.factor = float(self.node.info("warming")["warm_yield"])
            status = dict(conn.ask("CACHE.WARM", "STATUS", str(self.number)))
            conn.ask("CACHE.WARM", "CANCEL", str(self.number))
        if status[b"state"] != b"running" and not error[0]:
            fail(f"the job was {status[b'state'].decode()} before the slice was over: more keys are needed")
        until(self.stands_still, 30, "nothing is warmed any more", every_s=0.05)

    def warmed(self):
        return int(self.node.info("warming")["warm_keys_loaded"])

    def stands_still(self):
        before = self.warmed()
        time.sleep(0.1)
        return before == self.warmed()


def fill(redis, prefix, count):
    bench("--target", address(redis), "--op", "set", "--fill", "-n", 1, "-k", count, "-s", VALUE_BYTES, "--key-prefix", prefix, "-P", 64)


def measure(stage, arguments, load):
    redis = stage.redis()
    yields = [] if arguments.yields == "on" else ["--warm-p99-target", "0", "--warm-l2-target", "0"]
    node = stage.node("--threads", str(arguments.threads), "--memory", "512mb", "--warm-rate", str(arguments.warm_rate), *yields, l2=redis)
    node.wait_synced()
    own, rest = cores()
    pin(node.process, own if arguments.pin else own | rest)
    count = int(KEYS * SHARES[load])
    fill(redis, "key:", count)
    fill(redis, "warm:", int(arguments.warm_rate * (arguments.slice + 10)))
    words = ["--target", address(node), "-k", KEYS, "-c", 50]
    bench(*words, "-n", 10 * KEYS, "-P", 16)  # but for one of 22,000, each key was asked for
    words += ["--rate", arguments.rate]
    results, speeds, factors = {"without": [], "with": []}, [], []

    def run(name, turn):
        progress(f"{load}: round {turn + 1}, {name} a job")
        slice_of = [*words, "-d", arguments.slice, "-w", 0 if arguments.smoke else 1, "--seed", turn + 2]
        if name == "without":
            result = bench(*slice_of)
        else:
            with Job(node) as job:
                result = bench(*slice_of)
            speeds.append(job.per_s)
            factors.append(job.factor)
        results[name].append(result["latency_ms"])
        return result["latency_ms"]["p99"]
    figures = alternating(arguments.rounds, list(results), run)
    of_p99 = ratios(figures, "with", "without")
    rows = [[load, f"{name} a job", *(spread([one[part] for one in results[name]], 3) for part in PERCENTILES),
             *([spread(speeds, 0), spread(factors)] if name == "with" else ["", ""]), shown(of_p99) if name == "with" else "1"] for name in results]
    node.process.end()
    redis.process.end()
    return rows, of_p99


def shown(of_p99):
    low, high = interval_of_median(of_p99)
    return f"{statistics.median(of_p99):.2f} ({low:.2f} to {high:.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rate", type=int, default=5_000, help="requests per second of the clients")
    parser.add_argument("--warm-rate", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=36)
    parser.add_argument("--slice", type=int, default=2, help="seconds")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pin", action="store_true", help="the node has one core to itself")
    parser.add_argument("--yields", choices=["on", "off"], default="on", help="off: the job gives way to nobody")
    parser.add_argument("--smoke", action="store_true", help="a few seconds of one load: shape, not figures")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.rate, arguments.warm_rate, arguments.rounds, arguments.slice = 1000, 1000, 1, 1
    machine("What clients feel of a warm job", " ".join(["bench/warm_foreground.py", *sys.argv[1:]]),
            f"{said_by(REDIS, '--version').split(' sha')[0]}; all on loopback, nothing saved to disk")
    rows, of_p99 = [], {}
    for load in ["mixed"] if arguments.smoke else SHARES:
        with tempfile.TemporaryDirectory() as folder, Stage(pathlib.Path(folder)) as stage:
            more, of_p99[load] = measure(stage, arguments, load)
            rows += more
    verdict = ", ".join(f"{load} {'yes' if statistics.median(one) < GOAL else 'NO'} ({shown(one)})" for load, one in of_p99.items())
    table("Latency of clients in ms, with and without a job at full rate", ["load", "", *PERCENTILES, "keys warmed per second", "of the rate, by yielding", "ratio of p99"], rows,
          f"{arguments.rate} GETs per second of {VALUE_BYTES} bytes, 50 connections, {arguments.threads} thread(s); `warm-rate` "
          f"{arguments.warm_rate}, yielding {arguments.yields}; {arguments.rounds} rounds of two slices of "
          f"{arguments.slice} s, alternating: median (least-most), of the ratios (where it lies in 90 of 100 cases).",
          f"Goal: p99 with a job is less than 20 % longer: {verdict}.")
    print(f"\nLoad average after {load_average()}.")


if __name__ == "__main__":
    main()
