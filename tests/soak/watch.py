# SPDX-License-Identifier: BSD-3-Clause
"""watch -- a small checked load: writers count up, each on keys of its own; readers say how old what they read was.

Staleness of a read: how long before it was asked the first newer value had been acknowledged. Besides, each connection
must never see a key go back, and a writer must see what it wrote (read-your-writes).

    with Watch(seed, keys=100) as watch:
        watch.writes(redis_server, per_s=2000)     # a stranger
        watch.writes(node)
        watch.reads(node, bound_s=1.0)
    result = watch.result                          # when all have ended
"""

import bisect
import collections
import contextlib
import random
import threading
import time

import wire

SLACK_S = 0.003  # clocks of whole milliseconds
PIPELINE = 16


class Result:
    def __init__(self):
        self.reads = self.writes = 0
        self.errors = collections.Counter()
        self.hung = 0
        self.violations = []
        self.tenths = collections.Counter()  # staleness in tenths of a millisecond -> reads
        self.acked = {}  # key -> newest counter that was acknowledged
        self.lasted_s = 0.0
        self.longest_s = 0.0  # that a client waited for the answers to one pipeline

    @property
    def max_ms(self):
        return max(self.tenths, default=0) / 10

    @property
    def p999_ms(self):
        left = self.reads / 1000
        for tenths in sorted(self.tenths, reverse=True):
            left -= self.tenths[tenths]
            if left < 0:
                return tenths / 10
        return 0.0


class KeyHistory:
    """Of one key: counters that were acknowledged, in order, and when. A loss stands between two counters."""

    def __init__(self):
        self.issued = 0
        self.counters, self.times = [], []
        self.nothing = 0  # where "no value" stands

    def acked(self, counter, at):
        place = bisect.bisect(self.counters, counter)
        self.counters.insert(place, counter)
        self.times.insert(place, at)
        if len(self.counters) > 8192:  # what is gone makes a very stale read look a little less so
            del self.counters[:4096], self.times[:4096]

    def staleness(self, counter, asked_at):
        place = bisect.bisect(self.counters, counter)
        if place >= len(self.counters):
            return 0.0
        return max(0.0, asked_at - self.times[place])


class Watch:
    def __init__(self, seed, keys=100, prefix="watch:"):
        self.seed, self.prefix = seed, prefix
        self.keys = [f"{prefix}{i}" for i in range(keys)]
        self.histories = [KeyHistory() for _ in range(keys)]
        self.result = Result()
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads, self._writers, self._gates = [], [], []
        self._began = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.stop()

    def fill(self, server):
        """Every key once, by a connection of its own: what is not there is not in L1."""
        with server.wire() as conn:
            for i, key in enumerate(self.keys):
                self.histories[i].issued += 1
                assert not isinstance(conn.ask("SET", key, str(self.histories[i].issued)), wire.Error)
                self.histories[i].acked(self.histories[i].issued, time.monotonic())

    def writes(self, server, per_s=1000, padding=0, own_reads=True, pipeline=PIPELINE):
        """A writer joins; the keys are shared out when the run begins. What is pipelined Redis announces together."""
        self._writers.append((server, per_s, padding, own_reads, pipeline))

    def begin(self):
        for j, (server, per_s, padding, own_reads, pipeline) in enumerate(self._writers):
            mine = [i for i in range(len(self.keys)) if i % len(self._writers) == j]
            self._gates.append(threading.Lock())
            self._start(self._write, server, mine, per_s, b"." * padding, own_reads, pipeline, j)

    def reads(self, server, bound_s, per_s=2000, connections=1):
        for _ in range(connections):
            self._start(self._read, server, bound_s, per_s, len(self._threads))

    def _start(self, what, *args):
        thread = threading.Thread(target=what, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self):
        self._stopped.set()
        for thread in self._threads:
            thread.join(30)
            if thread.is_alive():
                self.result.hung += 1
        self.result.lasted_s = time.monotonic() - self._began
        for key, history in zip(self.keys, self.histories):
            self.result.acked[key] = int(max(history.counters, default=0))

    # --- a Redis that loses everything ---

    @contextlib.contextmanager
    def loss(self):
        """Around its death and return. Nobody writes meanwhile, so what is gone is known: all; "nothing" is newest."""
        for gate in self._gates:
            gate.acquire()
        for history in self.histories:
            history.nothing = history.issued + 0.5
        yield
        now = time.monotonic()
        with self._lock:
            for history in self.histories:
                history.acked(history.nothing, now)
        for gate in self._gates:
            gate.release()

    # --- threads ---

    def _connect(self, server):
        """None: the run is over."""
        while not self._stopped.is_set():
            try:
                return server.wire(timeout_s=10)
            except OSError:
                self._stopped.wait(0.01)
        return None

    def _talk(self, server, turn, per_s):
        """Turns on one connection after the other; `turn(conn, state)` returns how many it asked."""
        conn, state = None, {}
        due = time.monotonic()
        while not self._stopped.is_set():
            if conn is None:
                conn, state = self._connect(server), {}
                continue
            began = time.monotonic()
            try:
                due += turn(conn, state) / per_s
                self.result.longest_s = max(self.result.longest_s, time.monotonic() - began)
            except TimeoutError:
                self.result.hung += 1
                conn = None
            except (OSError, wire.Closed):
                self.result.errors["connection lost"] += 1
                conn = None
            now = time.monotonic()
            if due > now:
                self._stopped.wait(due - now)
            elif due < now - 0.1:
                due = now
        if conn is not None:
            conn.close()

    def _error(self, reply):
        self.result.errors[bytes(reply).split(b" ")[0].decode("latin-1")] += 1

    def _write(self, server, mine, per_s, padding, own_reads, pipeline, number):
        rng = random.Random(self.seed * 1000 + number)

        def turn(conn, state):
            with self._gates[number]:
                return write(conn, state)

        def write(conn, state):
            places = rng.sample(mine, min(pipeline, len(mine)))
            commands = []
            for i in places:
                self.histories[i].issued += 1
                commands.append(["SET", self.keys[i], b"%d%b" % (self.histories[i].issued, padding)])
            issued = [self.histories[i].issued for i in places]
            asked = [["GET", self.keys[i]] for i in places] if own_reads else []
            conn.send(b"".join(map(wire.encode, commands + asked)))
            floors = {}
            for i, counter in zip(places, issued):
                reply = conn.read()
                if isinstance(reply, wire.Error):
                    self._error(reply)
                    continue
                with self._lock:
                    self.histories[i].acked(counter, time.monotonic())
                self.result.writes += 1
                floors[i] = counter
            for i in places if own_reads else []:
                self._own(self.keys[i], conn.read(), floors.get(i))
            return len(commands) + len(asked)
        self._talk(server, turn, per_s)

    def _own(self, key, reply, floor):
        if isinstance(reply, wire.Error):
            self._error(reply)
        elif floor is not None:
            self.result.reads += 1
            if self._counter(reply, 0) < floor:
                self.result.violations.append(f"own write: {key} is {reply!r}, wrote {floor}")

    @staticmethod
    def _counter(reply, nothing):
        return int(reply.rstrip(b".")) if isinstance(reply, bytes) else nothing

    def _read(self, server, bound_s, per_s, number):
        rng = random.Random(self.seed * 1000 + 500 + number)

        def turn(conn, state):
            # Half of the reads go to a tenth of the keys.
            places = [rng.randrange(max(1, len(self.keys) // rng.choice([1, 10]))) for _ in range(PIPELINE)]
            asked_at = time.monotonic()
            conn.send(b"".join(wire.encode(["GET", self.keys[i]]) for i in places))
            for i in places:
                reply = conn.read()
                if isinstance(reply, wire.Error):
                    self._error(reply)
                    continue
                self._judge(server, i, reply, asked_at, bound_s, state)
            return PIPELINE
        self._talk(server, turn, per_s)

    def _judge(self, server, i, reply, asked_at, bound_s, state):
        history = self.histories[i]
        with self._lock:
            counter = self._counter(reply, history.nothing)
            stale_s = history.staleness(counter, asked_at)
        self.result.reads += 1
        if stale_s > 0:
            self.result.tenths[int(stale_s * 10000)] += 1
        if stale_s > bound_s + SLACK_S:
            self.result.violations.append(f"stale: {getattr(server, 'name', '')} {self.keys[i]} is {reply!r}, "
                                          f"{stale_s * 1000:.1f} ms after a newer one")
        if counter < state.get(i, 0):
            self.result.violations.append(f"backwards: {getattr(server, 'name', '')} {self.keys[i]} is {reply!r}, "
                                          f"was {state[i]}")
        state[i] = counter
