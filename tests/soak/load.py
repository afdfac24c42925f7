# SPDX-License-Identifier: BSD-3-Clause
"""load -- the recorded load of a run (terrace-bench --history) and what the judge (terrace check) says of it.

    with Load(run, nodes, redis_server, "--writes", 200) as load:    # begins when the keys are written
        ... things go wrong ...
    load.judged()                                                    # into the table, and it must be right

The load ends early, by SIGINT, with the block: every key is then read back from every node and from Redis.
"""

import contextlib
import signal

import history_file
from harness import BOUND_S
from history_run import finish_load, judge, start_load, wait_begun

LONG_S = 1_000_000  # ended by SIGINT


class Load:
    def __init__(self, run, nodes, redis_server, *flags, bound_s=BOUND_S, rate=20_000):
        """`rate`: operations a second, or None: as many as are answered."""
        defaults = {"--keys": 1000, "--zipf": 0.99, "--connections": 4, "--pipeline": 16,
                    "--seed": run.seed % (1 << 24), "--bound-ms": bound_s * 1000, "--timeout": 5}
        if rate is not None:
            defaults["--rate"] = rate
        words = [word for flag, value in defaults.items() if flag not in flags for word in (flag, value)]
        self.run, self.redis_server, self.told = run, redis_server, []
        self.path = run.stage.folder / f"{run.stage.name('load')}.hist"
        self.process = start_load(run.stage, self.path, nodes, redis_server, LONG_S, "--quiet", *words, *flags)

    def __enter__(self):
        wait_begun(self.path)
        return self

    def __exit__(self, kind, *rest):
        self.process.signal(signal.SIGINT)
        if kind is None:
            self.counts = finish_load(self.process)

    @contextlib.contextmanager
    def death(self):
        """Around the death of a Redis that comes back empty: the judge is told."""
        low = history_file.now_ns()
        yield
        self.told += history_file.death(self._no_value(), low, history_file.now_ns())

    @contextlib.contextmanager
    def loss(self):
        """Around a failover, which may take any key back to an older value."""
        low = history_file.now_ns()
        yield
        self.told += [{**record, "kind": history_file.LOSS} if record["kind"] == history_file.DELETE else record
                      for record in history_file.death(self._no_value(), low, history_file.now_ns())]

    def _no_value(self):
        return (1 << 60) + len(self.told)  # the name of no write

    def judged(self, **counts):
        """The counts of the driver, for what else a run wants to say of them."""
        paths = [self.path]
        if self.told:
            paths.append(self.path.with_suffix(".deaths"))
            history_file.write(paths[1], history_file.read_header(self.path), self.told)
        verdict = judge(*paths)
        assert verdict.code in (0, 1), verdict.error
        found, refused = verdict.found, self.counts["reads_refused"] + self.counts["writes_refused"]
        self.run.count(reads=found["reads"], writes=found["writes"], violations=found["violations"], refused=refused,
                       unknown=self.counts["writes_unknown"], **counts)
        self.run.staleness(found["all"]["age_max_ms"], found["all"]["age_p999_ms"])
        assert verdict.code == 0, f"{verdict.rules}\n{verdict.story()}"
        assert found["reads"] > 1000 and found["writes"] > 100 and found["unjudged"] == 0
        assert found["keys_read_back"] == (found["keys"] if self.redis_server else 0)
        assert not self.counts["strange"], self.counts["strange"]
        for path in paths:  # a long run fills a disk
            path.unlink()
        return self.counts
