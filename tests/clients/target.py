# SPDX-License-Identifier: BSD-3-Clause
"""target -- what a flow runs against: one who writes, one who reads, and the keeper of the data behind them."""

import os
import pathlib
import subprocess

from harness import BOUND_S, SLACK_S, until


HERE = pathlib.Path(__file__).resolve().parent


class Target:
    """`write` and `read` are servers (harness.Server); they are one unless the kind is "pair"."""

    def __init__(self, kind, stage, write, read, keeper):
        self.kind, self.stage, self.write, self.read, self.keeper = kind, stage, write, read, keeper

    def sees(self, condition, what=None):
        """The condition, which asks the reader, is true: at once, or, if the reader is another node, within its bound."""
        if self.kind == "pair":
            return until(condition, BOUND_S + SLACK_S, what or "the other node shows it")
        answer = condition()
        assert answer, what or "the reader does not show it"
        return answer

    def empty(self):
        """Key by key, at the keeper: a flush would close the fence of L1. Other nodes hear of it."""
        for db in range(16):
            client = self.keeper.client(db=db)
            names = [name for name in client.scan_iter(count=10000) if not name.startswith(b"terrace:")]
            if names:
                client.unlink(*names)
            client.close()

    def try_run(self, *argv, deadline_s=60):
        """A client program that is told by WRITE_PORT, READ_PORT and KIND what it runs against: (exit code, output)."""
        try:
            done = subprocess.run([str(arg) for arg in argv], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=deadline_s, check=False,
                                  env={**os.environ, "WRITE_PORT": str(self.write.port), "READ_PORT": str(self.read.port),
                                       "KIND": self.kind})
            return done.returncode, done.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired as late:
            return -1, (late.stdout or b"").decode(errors="replace") + f"\nended after {deadline_s} s"

    def run(self, *argv):
        """One that asserts by itself, prints `ok NAME` for each flow and ends with 0: its flows."""
        code, printed = self.try_run(*argv)
        assert code == 0, f"exit {code}\n{printed}"
        return [line[3:] for line in printed.splitlines() if line.startswith("ok ")]
