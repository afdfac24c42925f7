#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""warm_queue -- how long all of Redis waits for one call to the queue of warm jobs, with ten, a hundred and a thousand of them open
(`make bench-warm-queue`).

    bench/warm_queue.py [--calls 50]

No node: the script is asked as nodes ask it, and Redis' own time is told (commandstats, microseconds for a call), of calls that are
made CALLS times. Of what is told in pages (TAKE, SHOW) it is the time of a page. Prints Markdown.
"""
import argparse
import pathlib
import statistics
import tempfile

from measure import Stage, machine, table

ROOT = pathlib.Path(__file__).resolve().parent.parent
SCRIPT = "".join((ROOT / "tiers" / "scripts" / name).read_text() for name in ("warm.lua", "warm_verbs.lua"))
JOB = {"source": "keys 1", "target": "all", "mode": "missing", "schedule": "", "bound": 0, "priority": 4, "rate": 0, "life": 0, "db": 0,
       "dry": 0, "before": 0, "n": 0}
NODES, COUNTS = 5, (10, 100, 999)


def name(node):
    return f"{node:016x} 127.0.0.1:{node}"


class Queue:
    def __init__(self, raw):
        self.raw = raw
        self.sha = raw.script_load(SCRIPT)

    def say(self, node, verb, *words):
        return self.raw.evalsha(self.sha, 0, 15, verb, "", name(node), *words)

    def submit(self):
        return int(self.say(1, "SUBMIT", "{}", 1 << 26, 1000, "", *(word for pair in JOB.items() for word in pair))[1])

    def take(self, node):
        since = floor = 0
        while True:
            _, since, floor, more, *_ = self.say(node, "TAKE", since, floor)
            if not more:
                return since, floor

    def cost(self, calls, *words):
        """Microseconds of Redis for one such call: the median, since on a busy machine some are interrupted."""
        took_us = []
        for _ in range(calls):
            self.raw.config_resetstat()
            self.say(*words)
            took_us.append(self.raw.info("commandstats")["cmdstat_evalsha"]["usec"])
        return statistics.median(took_us)


def costs(queue, calls, job):
    """What each question of a node costs now."""
    version, floor = queue.take(1)
    return {"TAKE, nothing new": queue.cost(calls, 1, "TAKE", version, floor),
            "TAKE, one has changed": queue.cost(calls, 1, "TAKE", version - 1, floor),
            "TAKE, a page": queue.cost(calls, 1, "TAKE", 0, 0),
            "SHOW of one": queue.cost(calls, 1, "SHOW", job, 0),
            "SHOW of all, a page": queue.cost(calls, 1, "SHOW", "", 0),
            "BEAT": queue.cost(calls, 1, "BEAT"),
            "NEXT, no chunk": queue.cost(calls, 2, "NEXT", job, -1, 0, 0, 0, 0, 0, 0, 1000),
            "CHANGE": queue.cost(calls, 1, "CHANGE", job, "SETRATE", 0)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=50)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Stage(pathlib.Path(folder)) as stage:
        queue = Queue(stage.redis().client(db=15))
        jobs, figures = [], {}
        for node in range(1, NODES + 1):
            queue.say(node, "BEAT")
        for count in COUNTS:
            jobs += [queue.submit() for _ in range(count - len(jobs))]
            figures[count] = costs(queue, args.calls, jobs[count // 2])
    machine("The queue of warm jobs", "make bench-warm-queue", f"{NODES} nodes; medians of {args.calls} calls each.")
    table("Microseconds of Redis for a call", ["call", *(f"{count} open jobs" for count in COUNTS)],
          [[call, *(f"{figures[count][call]:.0f}" for count in COUNTS)] for call in figures[COUNTS[0]]])


if __name__ == "__main__":
    main()
