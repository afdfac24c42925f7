# SPDX-License-Identifier: BSD-3-Clause
"""cli -- runs `terrace` as a person or a script would.

TERRACE is the program beside the node (TERRACED), so that a sanitized run tests a sanitized program."""

import fcntl
import json
import os
import pathlib
import pty
import select
import signal
import struct
import subprocess
import termios
import time

from harness import TERRACED

TERRACE = str(pathlib.Path(TERRACED).with_name("terrace"))


class Done:
    """What came of one call."""

    def __init__(self, words, code, out, err):
        self.words, self.code, self.out, self.err = words, code, out, err

    @property
    def text(self):
        return self.out.decode()

    @property
    def object(self):
        """The one JSON object of standard output."""
        assert self.out.endswith(b"\n") and self.out.count(b"\n") == 1, self
        return json.loads(self.out)

    def __repr__(self):
        return f"terrace {' '.join(self.words)}: exit {self.code}\n{self.out!r}\n{self.err.decode(errors='replace')}"


def environment(**more):
    plain = {name: value for name, value in os.environ.items()
             if name not in ("NO_COLOR", "TERRACE_PASSWORD", "LANG", "LC_ALL", "LC_CTYPE")}
    return {**plain, "TERM": "xterm", "LANG": "C.UTF-8", **more}


def address(node):
    return f"127.0.0.1:{node.port}"


def run(*words, stdin=b"", env=None, deadline_s=60):
    """Standard output is a pipe: no colours, no terminal."""
    words = [str(word) for word in words]
    done = subprocess.run([TERRACE, *words], input=stdin, capture_output=True, timeout=deadline_s, check=False,
                          env=environment(**(env or {})))
    return Done(words, done.returncode, done.stdout, done.stderr)


def ask(node, *words, **options):
    """run, at this node or list of nodes."""
    nodes = node if isinstance(node, (list, tuple)) else [node]
    return run("--node", ",".join(address(one) for one in nodes), *words, **options)


class Terminal:
    """`terrace` on a terminal of its own. `shown` is all that it wrote."""

    def __init__(self, *words, rows=30, columns=110, env=None):
        self.shown = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # who was started in the background of a shell ignores it, and hands that on
            os.execve(TERRACE, [TERRACE, *map(str, words)], environment(**(env or {})))
        self.resize(rows, columns)
        self.code = None

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def settings(self):
        """Of the terminal: what raw mode changes."""
        return termios.tcgetattr(self.fd)[3]

    def type(self, keys):
        os.write(self.fd, keys)

    def read_until(self, condition, deadline_s=20.0, what=""):
        """Reads on until condition(what came since the call) holds; returns that."""
        ends_at, begun = time.monotonic() + deadline_s, len(self.shown)
        while not condition(self.shown[begun:]):
            left_s = ends_at - time.monotonic()
            assert left_s > 0, f"not within {deadline_s} s: {what}: {self.shown[-3000:]!r}"
            if select.select([self.fd], [], [], min(left_s, 1.0))[0]:
                try:
                    self.shown += os.read(self.fd, 65536)
                except OSError:  # the other side is closed
                    assert condition(self.shown[begun:]), f"it ended: {what}: {self.shown[-3000:]!r}"
        return self.shown[begun:]

    def wait(self, deadline_s=20.0):
        """The exit code; what is written till then is read."""
        ends_at = time.monotonic() + deadline_s
        while True:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.shown += os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                return self.code
            assert time.monotonic() < ends_at, f"not within {deadline_s} s: it ends: {self.shown[-2000:]!r}"
