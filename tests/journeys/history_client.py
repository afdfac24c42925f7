#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""history_client -- one process of test_history.py: works until SIGTERM and leaves a record of what it saw. Its file is there
when it begins.

    history_client.py CONFIG.json RECORD.pickle

Roles: `node` reads and writes through nodes, with pipelines, on several connections; `stranger` writes in Redis itself,
in every way that a node does not see coming; `monitor` records the order in which Redis ran the writes. The record:
(operations, expiries, places, counts). Plain reads and writes, many and at a steady pace, are terrace-bench's part.

Every value is written once: "writer.number", sometimes with padding. A deletion names a key that never was, so that
MONITOR can tell one from another.
"""

import collections
import json
import pickle
import random
import re
import signal
import sys
import time

import wire
from oracle import ACKED, FOREVER, REFUSED, UNKNOWN, Read, Write

HOT = ["hot:0", "hot:1"]                      # written all the time
WARM = [f"warm:{i}" for i in range(6)]
RARE = [f"rare:{i}" for i in range(20)]       # written every few seconds: what is missed here stays wrong
KEYS = HOT + WARM + RARE
MS = 1_000_000
ROUNDING_NS = 3 * MS  # Redis counts lives in whole milliseconds
NOTHING_DONE = (b"L2DOWN", b"BUSY", b"LOADING", b"ERR no such key")
LOST = (OSError, wire.Closed)


def now_ns():
    return time.monotonic_ns()


def value_of(reply):
    return bytes(reply) if isinstance(reply, bytes) and reply != b"" else None


class Ending:
    at_ns = FOREVER

    def __init__(self):
        signal.signal(signal.SIGTERM, self.begin)

    def begin(self, *_):
        self.at_ns = now_ns()


class Recorder:
    def __init__(self, name):
        self.name, self.number = name, 0
        self.operations, self.expiries, self.counts = [], [], collections.Counter()

    def fresh_value(self, rng):
        self.number += 1
        padding = b"." * rng.choice([0, 0, 0, 20, 200, 900])
        return b"%s.%d%s" % (self.name.encode(), self.number, padding)

    def outcome(self, reply):
        if not isinstance(reply, wire.Error):
            return ACKED
        if reply.startswith(b"UNKNOWN"):
            return UNKNOWN
        if not reply.startswith(NOTHING_DONE):
            self.counts["strange: " + reply[:80].decode("latin-1")] += 1
        return REFUSED

    def read(self, session, key, reply, asked, answered, at_l2=False):
        if isinstance(reply, wire.Error):
            self.outcome(reply)
            self.counts["reads refused"] += 1
        else:
            self.counts["reads"] += 1
            self.operations.append(Read(session, key, value_of(reply), asked, answered, at_l2))

    def write(self, session, key, value, reply, asked, answered, tag=None):
        outcome = self.outcome(reply)
        self.counts[f"writes {outcome}"] += 1
        self.operations.append(Write(session, key, value, asked, answered, outcome, tag))
        return outcome

    def life(self, key, ms, outcome, asked, answered):
        if outcome != REFUSED:
            high = answered + ms * MS + ROUNDING_NS if outcome == ACKED else FOREVER
            self.expiries.append((key, asked + ms * MS - ROUNDING_NS, high))


class Step:
    """Commands of one idea, and what their replies mean."""

    def __init__(self, commands, note):
        self.commands, self.note = commands, note


class Author:
    """Makes steps. `note(session, replies, asked, times)`: a reply is an UNKNOWN error when the connection was lost."""

    def __init__(self, recorder, rng, rarely):
        self.recorder, self.rng, self.rarely = recorder, rng, rarely
        self.reads_rare = True

    def key_to_read(self):
        return self.rng.choice(self.rng.choice([HOT, WARM, RARE, RARE] if self.reads_rare else [HOT, WARM]))

    def key_to_write(self):
        return self.rng.choice([HOT, WARM][self.rng.random() < 0.5] if self.rng.random() > self.rarely else RARE)

    def get(self):
        key, whole = self.key_to_read(), self.rng.random() < 0.15

        def note(session, replies, asked, times):
            self.recorder.read(session, key, replies[0], asked, times[0])
        return Step([["GETRANGE", key, "0", "-1"] if whole else ["GET", key]], note)

    def mget(self):
        keys = self.rng.sample(KEYS if self.reads_rare else HOT + WARM, self.rng.choice([2, 4, 7]))

        def note(session, replies, asked, times):
            answers = replies[0] if isinstance(replies[0], list) else [replies[0]] * len(keys)
            for key, answer in zip(keys, answers):
                self.recorder.read(session, key, answer, asked, times[0])
        return Step([["MGET", *keys]], note)

    def set(self, make=None):
        key, value = self.key_to_write(), self.recorder.fresh_value(self.rng)

        def note(session, replies, asked, times):
            self.recorder.write(session, key, value, replies[0], asked, times[0])
        return Step([make(key, value) if make else ["SET", key, value]], note)

    def getset(self):
        key, value = self.key_to_write(), self.recorder.fresh_value(self.rng)

        def note(session, replies, asked, times):
            if not isinstance(replies[0], wire.Error):
                self.recorder.read(session, key, replies[0], asked, times[0], at_l2=True)
            self.recorder.write(session, key, value, replies[0], asked, times[0])
        return Step([["GETSET", key, value]], note)

    def delete_then_set(self):
        key, value = self.key_to_write(), self.recorder.fresh_value(self.rng)
        tag = b"d:" + value[:20]

        def note(session, replies, asked, times):
            self.recorder.write(session, key, None, replies[0], asked, times[0], tag)
            self.recorder.write(session, key, value, replies[1], asked, times[1])
        return Step([[self.rng.choice(["DEL", "UNLINK"]), key, tag], ["SET", key, value]], note)

    def mset(self):
        keys = self.rng.sample(HOT + WARM, 2)
        values = [self.recorder.fresh_value(self.rng) for _ in keys]

        def note(session, replies, asked, times):
            for key, value in zip(keys, values):
                self.recorder.write(session, key, value, replies[0], asked, times[0])
        return Step([["MSET", keys[0], values[0], keys[1], values[1]]], note)

    def set_with_life(self):
        key, value = self.key_to_write(), self.recorder.fresh_value(self.rng)
        ms = self.rng.choice([5, 30, 80])

        def note(session, replies, asked, times):
            outcome = self.recorder.write(session, key, value, replies[0], asked, times[0])
            self.recorder.life(key, ms, outcome, asked, times[0])
        return Step([["SET", key, value, "PX", str(ms)]], note)

    def end_life(self):
        key, ms = self.key_to_write(), self.rng.choice([5, 30, 80])

        def note(_session, replies, asked, times):
            self.recorder.life(key, ms, self.recorder.outcome(replies[0]), asked, times[0])
        return Step([["PEXPIRE", key, str(ms)]], note)

    def rename(self):
        key, value = self.key_to_write(), self.recorder.fresh_value(self.rng)
        name = b"t:" + value

        def note(session, replies, asked, times):
            self.recorder.outcome(replies[0])
            self.recorder.write(session, key, value, replies[1], asked, times[1])
        return Step([["SET", name, value], ["RENAME", name, key]], note)

    def transaction(self):
        keys = [self.rng.choice(HOT + WARM), self.rng.choice(RARE if self.rng.random() < self.rarely else WARM)]
        keys = list(dict.fromkeys(keys))
        values = [self.recorder.fresh_value(self.rng) for _ in keys]

        def note(session, replies, asked, times):
            for key, value in zip(keys, values):
                self.recorder.write(session, key, value, replies[-1], asked, times[-1])
        return Step([["MULTI"], *(["SET", key, value] for key, value in zip(keys, values)), ["EXEC"]], note)

    @staticmethod
    def by_script(key, value):
        """The script names a key that it did not declare."""
        return ["EVAL", "return redis.call('SET', ARGV[1] .. ':' .. ARGV[2], ARGV[3])", "0", *key.split(":"), value]


class Lane:
    """One connection after the other to one address; each is a session."""

    def __init__(self, name, port, proto, recorder):
        self.name, self.port, self.proto, self.recorder = name, port, proto, recorder
        self.lives, self.conn, self.steps, self.asked = 0, None, [], 0

    @property
    def session(self):
        return f"{self.name}#{self.lives}"

    def send(self, steps):
        self.steps = []
        if self.conn is None:
            try:
                self.conn = wire.Wire(("127.0.0.1", self.port), proto=self.proto)
                self.lives += 1
            except LOST:
                self.recorder.counts["connections refused"] += 1
                time.sleep(0.01)  # a node that is away is not asked in a busy loop
                return
        data = b"".join(wire.encode(words) for step in steps for words in step.commands)
        self.steps, self.asked = steps, now_ns()
        try:
            self.conn.send(data)
        except LOST:
            pass  # what is read next tells what was lost

    def take(self):
        """True if all went well."""
        lost, trouble = False, not self.steps
        for step in self.steps:
            replies, times = [], []
            for _ in step.commands:
                reply = wire.Error(b"UNKNOWN the connection was lost")
                if not lost:
                    try:
                        reply = self.conn.read()
                    except LOST:
                        lost = True
                replies.append(reply)
                times.append(now_ns())
                trouble = trouble or isinstance(reply, wire.Error)
            step.note(self.session, replies, self.asked, times)
        if lost:
            self.recorder.counts["connections lost"] += 1
            self.conn.close()
            self.conn = None
        return not trouble


def work(config, ending, steps_of, pause_s):
    rng = random.Random(config["seed"])
    recorder = Recorder(config["name"])
    author = Author(recorder, rng, config["rarely"])
    lanes = [Lane(f"{config['name']}.{i}:{name}", port, rng.choice([2, 3]), recorder)
             for i, (name, port) in enumerate(config["addresses"])]
    while now_ns() < ending.at_ns:
        for lane in lanes:
            lane.send(steps_of(author, rng))
        went_well = all([lane.take() for lane in lanes])
        time.sleep(pause_s(rng) if went_well else 0.003)  # the pace of the load is its subject
    return recorder.operations, recorder.expiries, {}, recorder.counts


def node_steps(author, rng):
    share = rng.choice([0, 0, 0.15, 0.3])  # of this turn: bursts of writes, and time for hits between
    # A read behind a write of its connection passes L1 by and ends the entry, which would hide what is wrong with it.
    author.reads_rare = share == 0
    reads = [author.get] * 6 + [author.mget]
    writes = [author.set] * 3 + [author.getset, author.delete_then_set, author.mset, author.set_with_life,
                                 author.end_life, author.rename]
    return [rng.choice(writes if rng.random() < share else reads)() for _ in range(rng.choice([1, 1, 2, 6, 25]))]


def stranger_steps(author, rng):
    writes = [author.set, lambda: author.set(author.by_script), author.transaction, author.delete_then_set, author.mset,
              author.set_with_life, author.end_life, author.rename]
    return [rng.choice(writes)() for _ in range(rng.choice([1, 1, 3]))]


# --- the monitor ---

LINE = re.compile(rb'^\+(\d+)\.(\d+) \[\d+ [^\]]*\] "([A-Za-z]+)"(.*)$')
WORD = re.compile(rb'"((?:[^"\\]|\\.)*)"')


def places_of(line):
    """(microseconds, what the line places)"""
    match = LINE.match(line)
    if match is None:
        return 0, []
    verb, words = match[3].upper(), WORD.findall(match[4])
    names = []
    if verb in (b"SET", b"GETSET") and words[0] in KEY_BYTES:
        names = [(words[0].decode(), words[1])]
    elif verb == b"MSET":
        names = [(key.decode(), value) for key, value in zip(words[::2], words[1::2])]
    elif verb == b"RENAME":
        names = [(words[1].decode(), words[0][2:])]
    elif verb in (b"DEL", b"UNLINK") and len(words) == 2:
        names = [words[1]]
    return int(match[1]) * 1_000_000 + int(match[2]), names


KEY_BYTES = frozenset(key.encode() for key in KEYS)


def wall_ahead_ns():
    """Of the monotonic clock, by the closest of many looks: whoever is put aside between two clocks takes reads for too
    early."""
    def look():
        before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        return after - before, wall - (before + after) // 2
    return min(look() for _ in range(200))[1]


def monitor(config, ending):
    under_way_ns = 300 * MS
    offset_ns = wall_ahead_ns()
    chunks = []
    _, port = config["addresses"][0]
    while now_ns() < ending.at_ns + under_way_ns:
        try:
            conn = wire.Wire(("127.0.0.1", port), timeout_s=5)
            conn.ask("CLIENT", "SETNAME", "stranger")
            conn.send(wire.encode(["MONITOR"]))
            conn.sock.settimeout(0.1)
            chunks.append(b"\r\n")
            while now_ns() < ending.at_ns + under_way_ns:
                try:
                    data = conn.sock.recv(1 << 20)
                except TimeoutError:
                    continue
                if not data:
                    break
                chunks.append(data)
        except LOST:
            time.sleep(0.002)
    places, last = {}, 0
    for line in b"".join(chunks).split(b"\r\n"):
        moment_us, names = places_of(line)
        for name in names:
            last = max(last + 1, moment_us * 1000 - offset_ns)
            places[name] = last
    return [], [], places, collections.Counter({"writes placed": len(places)})


def main():
    with open(sys.argv[1], encoding="ascii") as file:
        config = json.load(file)
    ending = Ending()
    with open(sys.argv[2], "wb"):
        pass
    if config["role"] == "node":
        record = work(config, ending, node_steps, lambda rng: 0)
    elif config["role"] == "stranger":
        record = work(config, ending, stranger_steps, lambda rng: rng.choice([0.001, 0.01, 0.04]))
    else:
        record = monitor(config, ending)
    with open(sys.argv[2], "wb") as file:
        pickle.dump(record, file)


if __name__ == "__main__":
    main()
