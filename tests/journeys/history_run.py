# SPDX-License-Identifier: BSD-3-Clause
"""history_run -- the load that records (terrace-bench --history) and the judge (terrace check), for journeys."""

import json
import subprocess

from harness import ROOT, until

BENCH, TERRACE = ROOT / "build" / "release" / "terrace-bench", ROOT / "build" / "release" / "terrace"


class Verdict:
    def __init__(self, done):
        self.code, self.error = done.returncode, done.stderr
        self.found = json.loads(done.stdout) if done.returncode in (0, 1) else {}

    @property
    def rules(self):
        """Broken rules and how often."""
        return {rule: count for rule, count in self.found["violations_by_rule"].items() if count}

    def story(self):
        stories = [story["story"] for story in self.found.get("stories", [])[:5]]
        return "\n".join([f"exit {self.code} {self.error}", *stories])


def start_load(stage, path, nodes, redis_server, seconds, *flags):
    """The driver as a process of the stage; it ends by itself. Without a Redis nobody but clients of nodes writes."""
    direct = ["--redis", f"127.0.0.1:{redis_server.port}"] if redis_server else []
    argv = [BENCH, "--history", path, "--targets", ",".join(f"127.0.0.1:{node.port}" for node in nodes), *direct,
            "--duration", str(seconds), "--json", *map(str, flags)]
    return stage.run(f"load-{path.stem}", argv)


def wait_begun(path):
    """Until the keys are written, the bound has passed and the load begins: then the file gets its first bytes."""
    until(lambda: path.exists() and path.stat().st_size > 0, 20, "the load begins")


def finish_load(process, deadline_s=60):
    """The driver's own counts."""
    assert process.wait(deadline_s) == 0, process.log()
    return json.loads(process.log())


def judge(*paths, flags=()):
    bytes_of_all = sum(path.stat().st_size for path in paths if path.exists())  # one that is missing is the judge's to name
    return Verdict(subprocess.run([TERRACE, "check", "--json", *flags, *map(str, paths)], capture_output=True, text=True,
                                  timeout=120 + bytes_of_all / 5e6, check=False))
