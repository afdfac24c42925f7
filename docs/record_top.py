#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Records `terrace top` at work: docs/top.cast (asciicast v2: `asciinema play docs/top.cast`).

    make && docs/record_top.py [FILE]

Starts a private Redis and two nodes, and lets terrace-bench (open loop, Zipf keys, nine reads to one write) and a program with a
near cache (libterrace) load them. What is recorded is what the program wrote to its terminal, with the time of each piece, and
nothing else. On the way: the namespaces are sorted otherwise, the second node is killed and comes back, and a warm job brings the keys
of one namespace into both.
"""

import json
import os
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "journeys"), str(ROOT / "tests" / "fault")]

import cli  # noqa: E402
import harness  # noqa: E402
from libterrace import Client  # noqa: E402

ROWS, COLUMNS = 28, 118
BENCH = ROOT / "build" / "release" / "terrace-bench"
NAMESPACES = ("[namespace response]\nprefix = resp:\nformat = managed\nttl = 30m\nswr = 30s\npolicy = s3fifo\n"
              "[namespace session]\nprefix = sess:\nttl = 1h\npolicy = lru\n")
STORY = [(6, b"s"), (8, b"s"), (10, b"ss"), (12, "kill"), (17, "start"), (21, "warm"), (28, b"q")]  # seconds, and what happens


def bench(stage, node, prefix, rate, keys):
    return stage.run(stage.name("bench"), [BENCH, "--target", cli.address(node), "--rate", rate, "--ratio", "9:1", "--connections", 16,
                                           "--keys", keys, "--zipf", 1.1, "--key-prefix", prefix, "--value-size", "64-1024", "--fill",
                                           "--duration", 60])


def read_near(client, stop):
    keys, rng = [f"sess:{i:012}" for i in range(400)], random.Random(1)
    while not stop.is_set():
        for _ in range(40):
            client.get(rng.choice(keys))
        time.sleep(0.005)  # an application does something else, too


def record(terminal, nodes, path):
    began, story, events = time.monotonic(), list(STORY), []
    while terminal.code is None:
        seen = len(terminal.shown)
        if story and time.monotonic() - began > story[0][0]:
            what = story.pop(0)[1]
            if what == "kill":
                nodes[1].process.kill()
            elif what == "start":
                nodes[1].launch()
            elif what == "warm":
                with nodes[0].client() as client:
                    client.execute_command("CACHE.WARM", "SUBMIT", json.dumps({"source": {"pattern": "key:*"}, "rate": 8000}))
            else:
                terminal.type(what)
        try:
            terminal.wait(0.05)
        except AssertionError:  # not yet
            pass
        if len(terminal.shown) > seen:
            events.append([round(time.monotonic() - began, 3), "o", terminal.shown[seen:].decode()])
    head = {"version": 2, "width": COLUMNS, "height": ROWS, "timestamp": int(time.time()), "title": "terrace top",
            "env": {"TERM": "xterm-256color"}}
    path.write_text("".join(json.dumps(line) + "\n" for line in [head, *events]))


def main(path):
    with tempfile.TemporaryDirectory() as folder, harness.Stage(folder) as stage:
        conf = stage.folder / "top.conf"
        conf.write_text(NAMESPACES)
        redis = stage.redis()
        nodes = [stage.node(str(conf), "--policy", "density", l2=redis) for _ in range(2)]
        loads = [bench(stage, nodes[0], "resp:", 4000, 20000), bench(stage, nodes[0], "sess:", 3000, 400),
                 bench(stage, nodes[1], "key:", 2000, 50000)]
        stop = threading.Event()
        with Client(f"endpoints={cli.address(nodes[0])}", "near-memory=8mb", "timeout=2s") as client:
            reader = threading.Thread(target=read_near, args=(client, stop))
            reader.start()
            time.sleep(4)  # the keys are filled
            asked = ",".join(map(cli.address, nodes))
            with cli.Terminal("--node", asked, "top", "-i", "500ms", rows=ROWS, columns=COLUMNS) as terminal:
                record(terminal, nodes, path)
            print(cli.ask(nodes, "top", "--once", "-i", "2s").text)
            stop.set()
            reader.join()
        for load in loads:
            load.signal(signal.SIGTERM)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "top.cast")
