#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""`make demo`: two nodes, one Redis, and what happens to a key that both hold.

    deploy/demo.py BUILD_DIR
"""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import redis

ROUNDS = 1000


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return
        except redis.exceptions.RedisError:
            pass
        time.sleep(0.01)
    sys.exit("demo: something did not start; see above")


class Cast:
    """The processes of the story; all end with it."""

    def __init__(self, build):
        self.build = build
        self.directory = tempfile.mkdtemp(prefix="terrace-demo.")
        self.processes = []

    def start(self, *command):
        self.processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return self.processes[-1]

    def redis(self, port):
        process = self.start("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir",
                             self.directory)
        until(redis.Redis(port=port).ping)
        return process

    def node(self, l2_port):
        port = free_port()
        self.start(f"{self.build}/terraced", "--listen", f"127.0.0.1:{port}", "--admin", "", "--l2",
                   f"redis://127.0.0.1:{l2_port}")
        client = redis.Redis(port=port, decode_responses=True)
        until(lambda: client.info("coherence")["coherence_state"] == "SYNCED")
        return client

    def end(self):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def say(text=""):
    print(text, flush=True)


def show(name, text, answer):
    say(f"    {name:>5}> {text:<42} {answer}")


def served_by(client, key):
    """Where the next GET of the key comes from."""
    before = client.info("l1")["l1_hits"]
    client.get(key)
    return "from its own memory" if client.info("l1")["l1_hits"] > before else "from Redis"


def propagation(a, b):
    """Milliseconds from SET's answer on A until GET on B, which held the old value, gives the new one."""
    took = []
    for i in range(ROUNDS):
        b.get("moving")
        a.set("moving", i)
        answered = time.monotonic()
        while b.get("moving") != str(i):
            pass
        took.append((time.monotonic() - answered) * 1000)
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)], took[-1]


def tell(cast):
    l2_port = free_port()
    process = cast.redis(l2_port)
    a, b = cast.node(l2_port), cast.node(l2_port)
    stranger = redis.Redis(port=l2_port, decode_responses=True)
    say("Two nodes, A and B, share one Redis. Each keeps what it reads in its own memory.\n")
    show("A", "SET price 10", a.set("price", 10) and "OK")
    show("B", "GET price", f"{b.get('price')}   ({served_by(b, 'price')} from now on)")
    show("B", "SET price 12", b.set("price", 12) and "OK")
    until(lambda: a.get("price") == "12")
    show("A", "GET price", f"{a.get('price')}   (Redis announced the change; A read it anew)")
    show("redis", "INCRBY price 3        (not through a node)", stranger.incrby("price", 3))
    until(lambda: a.get("price") == "15" and b.get("price") == "15")
    show("A", "GET price", f"{a.get('price')}   (A asked to be told of every change, whoever makes it)")
    show("B", "GET price", b.get("price"))
    say(f"\nHow long after SET on A does B, which held the old value, give the new one? {ROUNDS} times:")
    median, p99, worst = propagation(a, b)
    say(f"    propagation p50 {median:.3f} ms, p99 {p99:.3f} ms, max {worst:.3f} ms (asked as fast as redis-py can)")
    say("\nRedis is killed. A has `price` in memory and may serve it for the bound on staleness (1 s), not longer.")
    a.get("price")
    process.kill()
    process.wait()
    show("A", "GET price   (at once)", attempt(lambda: a.get("price")))
    killed = time.monotonic()
    while time.monotonic() - killed < 1.5:  # the bound itself is the subject
        time.sleep(0.05)
    show("A", "GET price   (1.5 s later)", attempt(lambda: a.get("price")))
    cast.redis(l2_port)
    back = time.monotonic()
    until(lambda: a.set("price", 20))
    until(lambda: b.get("price") == "20")
    say(f"\nRedis is back, empty. {time.monotonic() - back:.1f} s later both nodes serve again, and nothing of the old life:")
    show("A", "SET price 20", "OK")
    show("B", "GET price", b.get("price"))


def attempt(call):
    try:
        return call()
    except redis.exceptions.RedisError as error:
        return f"(error) {error}"


def main():
    cast = Cast(sys.argv[1])
    try:
        tell(cast)
    finally:
        cast.end()


if __name__ == "__main__":
    main()
