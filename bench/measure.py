# SPDX-License-Identifier: BSD-3-Clause
"""measure -- what the comparisons share: servers side by side, cores, terrace-bench, medians, Markdown.

CPU time is that of all threads of a process as the kernel counts it in nanoseconds (/proc/PID/task/*/schedstat; utime
and stime of /proc/PID/stat are the same in ticks of 10 ms). Runs that are compared alternate, each round begins with
another, and each ratio is of one round.

Whatever goes wrong (a server that does not start, a reply that is an error or a wrong value) ends the program with one
line and exit code 1. No figure does.
"""

import getpass
import json
import math
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "journeys")]

from harness import START_DEADLINE_S, TERRACED, Stage, free_port, until, vm_rss_bytes  # noqa: E402,F401  (needs the path)

BENCH = os.environ.get("BENCH", str(ROOT / "build" / "release" / "terrace-bench"))
REDIS = os.environ.get("REDIS", "redis-server")
MEMCACHED = os.environ.get("MEMCACHED", "memcached")
CONNECTIONS = 50


def fail(text):
    sys.exit(f"{pathlib.Path(sys.argv[0]).stem}: {text}")


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def table(title, head, rows, *notes):
    print(f"\n## {title}\n")
    for row in [head, ["---"] * len(head), *rows]:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    for note in notes:
        print(f"\n{note}")
    sys.stdout.flush()


# --- processes ---

def cores(own_count=1):
    """(those of the measured process, those of everything else); on a small machine they overlap."""
    usable = sorted(os.sched_getaffinity(0))
    return set(usable[:own_count]), set(usable[own_count:]) or set(usable)


def pin(process, to):
    for task in os.listdir(f"/proc/{process.pid}/task"):
        os.sched_setaffinity(int(task), to)


def cpu_ns(process):
    tasks = pathlib.Path(f"/proc/{process.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def address(server):
    return f"127.0.0.1:{server.port}"


def bench_argv(*words):
    return [BENCH, "--quiet", "--json", *map(str, words)]


def finish(popen, timeout_s=300):
    out, err = popen.communicate(timeout=timeout_s)
    if popen.returncode != 0:
        fail(f"{' '.join(popen.args)}: {err or out}")
    return json.loads(out)


def start_bench(*words, on=None):
    return subprocess.Popen(bench_argv(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            preexec_fn=on and (lambda: os.sched_setaffinity(0, on)))


def bench(*words, on=None, timeout_s=300, forgiven=None):
    """`forgiven`: what an error may say."""
    result = finish(start_bench(*words, on=on), timeout_s)
    is_forgiven = forgiven and forgiven in (result.get("first_error") or "") and not result["lost"]
    if result.get("errors") and not is_forgiven or result.get("wrong_values"):
        fail(f"{' '.join(map(str, words))}: {result['errors']} errors, first: {result['first_error']}, "
             f"{result['wrong_values']} wrong values")
    return result


# --- servers that are compared ---

class Peer:
    """A server of one of three kinds, alone, in memory only; `on`: its cores."""

    NAMES = ("ours", "redis-server", "memcached")

    def __init__(self, stage, name, on, threads=1, bytes_max=8 << 30, flags=()):
        self.name, self.on, self.port = name, on, free_port()
        argv = {"ours": self.node, "redis-server": self.redis, "memcached": self.memcached}[name](threads, bytes_max)
        self.argv = [*argv, *flags]
        if shutil.which(self.argv[0]) is None:
            fail(f"{self.argv[0]} is not there: `make deps` installs, `make` builds")
        cpus = ",".join(map(str, sorted(on)))
        self.process = stage.run(stage.name(name), ["taskset", "-c", cpus, *self.argv])
        until(lambda: self.answers() or not self.process.alive(), START_DEADLINE_S, f"{name} answers")
        if not self.process.alive():
            fail(f"{' '.join(self.argv)}: {self.process.log()}")

    def node(self, threads, bytes_max):
        if any(word in os.path.basename(TERRACED) for word in ("redis", "valkey")):
            return self.redis(threads, bytes_max, TERRACED)
        return [TERRACED, "--listen", address(self), "--admin", "", "--threads", str(threads), "--memory", str(bytes_max)]

    def redis(self, threads, bytes_max, program=REDIS):
        io = ["--io-threads", str(threads), "--io-threads-do-reads", "yes"] if threads > 1 else []
        return [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                "--maxmemory", str(bytes_max), *io]

    def memcached(self, threads, bytes_max):
        return [MEMCACHED, "-l", "127.0.0.1", "-p", str(self.port), "-U", "0", "-u", getpass.getuser(), "-c", "4096",
                "-t", str(threads), "-m", str(bytes_max >> 20)]

    def words(self):
        """How terrace-bench reaches it."""
        protocol = "memcached" if self.name == "memcached" else "resp"
        return ["--target", address(self), "--protocol", protocol, "--pid", self.process.pid]

    def bench(self, *words, **how):
        return bench(*self.words(), *words, **how)

    def answers(self):
        asked = subprocess.run([*bench_argv(*self.words(), "--op", "ping", "-c", "1", "-n", "1", "--max-error-rate", "0")],
                               capture_output=True, check=False)
        return asked.returncode == 0

    def resident(self):
        """RSS once it stands still: a table that grows in steps has grown."""
        last = [-1]

        def settled():
            before, last[0] = last[0], vm_rss_bytes(self.process.pid)
            return before == last[0]
        until(settled, 30, f"memory of {self.name} stands still", every_s=0.2)
        return last[0]

    def end(self):
        self.process.end()


# --- numbers ---

def spread(numbers, digits=2):
    if len(numbers) == 1:
        return f"{numbers[0]:.{digits}f}"
    return f"{statistics.median(numbers):.{digits}f} ({min(numbers):.{digits}f}-{max(numbers):.{digits}f})"


def quantile(numbers, part):
    ordered = sorted(numbers)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def ms(number):
    return f"{number:.3f}"


def alternating(rounds, names, run):
    """{name: its figure in each round}; each round begins with another."""
    figures = {name: [] for name in names}
    for turn in range(rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            figures[name].append(run(name, turn))
    return figures


def ratios(figures, name, base):
    return [one / other for one, other in zip(figures[name], figures[base])]


def interval_of_median(numbers, sure=0.9):
    """(low, high): the median of what the numbers are drawn from lies between, in so many of all cases at least; by ranks alone (the
    sign test's), so outliers do not move it. The whole span where the numbers are too few."""
    ordered, count = sorted(numbers), len(numbers)
    rank = 0  # so many numbers are left out at each end
    while rank + 1 <= (count - 1) // 2 and 2 * sum(math.comb(count, i) for i in range(rank + 2)) <= (1 - sure) * 2 ** count:
        rank += 1
    return ordered[rank], ordered[count - 1 - rank]


def has_told_all(node):
    """Whether what it holds is nearly all in L2, in its hot list or in pages, which it writes once a minute."""
    info = node.info("everything")
    return int(info["hot_held_keys"]) + int(info["hot_keys"]) >= 0.8 * int(info["l1_items"])


# --- the machine ---

def said_by(*words):
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False).stdout.strip()


def load_average():
    return " ".join(f"{load:.2f}" for load in os.getloadavg())


def versions():
    return f"{said_by(REDIS, '--version').split(' sha')[0]}; {said_by(MEMCACHED, '-V')}"


def machine(title, command, about):
    """The head of a report; `about`: what else it depends on."""
    model = next((line.partition(":")[2].strip() for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    dirty = " with changes" if said_by("git", "status", "--porcelain", "--untracked-files=no") else ""
    print(f"# {title}\n")
    print(f"- {time.strftime('%Y-%m-%d')}, commit {said_by('git', 'rev-parse', '--short', 'HEAD')}{dirty}")
    print(f"- {model}, {len(os.sched_getaffinity(0))} cores, {platform.system()} {platform.release()}; "
          f"load average before {load_average()}")
    print(f"- {about}")
    print(f"- `{command}`", flush=True)
