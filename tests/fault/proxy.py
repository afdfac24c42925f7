# SPDX-License-Identifier: BSD-3-Clause
"""proxy -- a TCP proxy that misbehaves on demand, between a node and its Redis (or a client and a node).

    with FaultProxy(("127.0.0.1", redis_port)) as proxy:
        ... the node connects to proxy.url ...
        proxy.black_hole("up")               # what the node sends vanishes; the other way still works
        proxy.black_hole("down", who="bus")  # only the subscription hears nothing
        proxy.drop("keys", one_in=1000)      # Redis' announcements, one in a thousand; nobody is told
        proxy.heal()                         # forwards again; connections that lost bytes are reset

The bytes pass through a program in C (proxy.c, built by `make unit`); this class starts and commands it. Methods may be
called from any thread and return when the change is in force.

Directions: "up" to the server, "down" to the client, "both". Connections: who="all", "bus" (on which SUBSCRIBE was
seen), "plain" (any other). Messages: "keys" (announcements of Redis), "frames" (of nodes), "any" of these two.
"""

import ctypes
import json
import pathlib
import signal
import subprocess
import threading

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = HERE.parents[1] / "build" / "release" / "tests" / "fault" / "proxy"
UP, DOWN = "up", "down"
_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class FaultProxy:
    def __init__(self, target):
        """`target`: (host, port) on this machine."""
        if not PROGRAM.exists():
            raise AssertionError(f"no proxy at {PROGRAM}: run make unit")
        self.target = target
        self._lock = threading.Lock()
        self._process = subprocess.Popen([str(PROGRAM), str(target[1])], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True, bufsize=1, preexec_fn=_die_with_parent)
        self.port = int(self._process.stdout.readline().split()[1])

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.stop()

    # --- a bad network ---

    def freeze(self, direction="both", who="all"):
        """Keeps the bytes; heal() delivers them late, in order, also those of a sender that is gone since."""
        self._command("set", who, direction, "mode", "freeze")

    def black_hole(self, direction="both", who="all"):
        """Throws the bytes away; nobody is told: a host that died, a route that is gone."""
        self._command("set", who, direction, "mode", "hole")

    def sever(self, direction="both", who="all"):
        """A black hole for the connections that are there; new ones pass."""
        self._command("sever", who, direction)

    def slice(self, piece_bytes, direction="both", who="all"):
        self._command("set", who, direction, "slice", piece_bytes)

    def delay(self, delay_ms, direction="both", who="all", jitter_ms=0):
        self._command("set", who, direction, "delay", delay_ms, jitter_ms)

    def rate(self, bytes_per_s, direction="both", who="all"):
        """Of each connection; 0: unlimited."""
        self._command("set", who, direction, "rate", bytes_per_s)

    def flip_bytes(self, one_in, direction="both", who="all"):
        """One bit of one byte in so many, wherever it lies; 0: none."""
        self._command("set", who, direction, "flip", one_in)

    def hold(self, direction, marker):
        """The first connection that carries the marker stops there, and everything behind it; the others go on."""
        self._command("hold", direction, marker.hex())

    def holds(self, direction):
        return bool(self.stats()[f"held_{direction}"])

    def release(self, direction):
        self._command("release", direction)

    def heal(self):
        """Everything passes again; what was frozen is delivered, what lost bytes is reset. What hold() holds stays."""
        self._command("heal")

    def reset(self, who="all"):
        """RST to both ends of every connection."""
        self._command("reset", who)

    def half_close(self, direction, who="all"):
        """The receiver of this direction is told that no more comes; the other direction goes on."""
        self._command("half_close", who, direction)

    def refuse(self):
        """Resets, and ends what connects from now on."""
        self._command("refuse")

    # --- bad luck of single messages: one in so many, at most `count` of them (0: without end) ---

    def drop(self, messages, one_in=1, count=0, containing=b""):
        self._rule("drop", messages, one_in, count, 0, containing)

    def duplicate(self, messages, one_in=1, count=0, containing=b""):
        self._rule("duplicate", messages, one_in, count, 0, containing)

    def postpone(self, messages, delay_ms, one_in=1, count=0, containing=b""):
        """It comes later; what is behind it passes."""
        self._rule("delay", messages, one_in, count, delay_ms, containing)

    def reorder(self, messages, one_in=1, count=0, containing=b""):
        """It changes places with the message behind it."""
        self._rule("reorder", messages, one_in, count, 0, containing)

    def flip(self, messages, one_in=1, count=0, containing=b""):
        """One bit of its payload; the lengths stay true."""
        self._rule("flip", messages, one_in, count, 0, containing)

    def no_rules(self):
        self._command("norules")

    def seed(self, number):
        self._command("seed", number)

    # --- what happened ---

    @property
    def accepted(self):
        return self.stats()["accepted"]

    def stats(self):
        """Counts since the start: accepted, open, buses, bytes_up, bytes_down, keys and frames (messages seen),
        dropped_keys, dropped_frames, and so on for duplicated, delayed, reordered, flipped; flipped_bytes."""
        return json.loads(self._command("stats"))

    def stop(self):
        """Resets every connection and ends."""
        with self._lock:
            if self._process.poll() is None:
                self._process.stdin.close()
                try:
                    self._process.wait(5)
                except subprocess.TimeoutExpired:
                    self._process.kill()
                    self._process.wait()
            self._process.stdout.close()

    def _rule(self, action, messages, one_in, count, delay_ms, containing):
        self._command("rule", action, messages, one_in, count, delay_ms, containing.hex() or "-")

    def _command(self, *words):
        with self._lock:
            if self._process.poll() is not None:
                raise AssertionError(f"the proxy ended with {self._process.returncode}")
            self._process.stdin.write(" ".join(map(str, words)) + "\n")
            answer = self._process.stdout.readline().rstrip("\n")
        verdict, _, rest = answer.partition(" ")
        if verdict != "ok":
            raise AssertionError(f"proxy: {' '.join(map(str, words))}: {rest or answer}")
        return rest
