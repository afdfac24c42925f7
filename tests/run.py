#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs everything `make test` promises and ends with one line: `N passed, N failed`.

A step is a program that reports its own tests: cmocka programs in TAP, pytest by its summary, and others by their exit
code, which counts as one test. A step that ends without having run a test counts as a failure.

    tests/run.py BUILD_DIR [STEP ...]      steps by name, one after the other; none: all of them

Of all steps, those that compute and look at no clock run beside those that mostly wait, at a lower priority; and what judges
by the clock runs when everything else has ended. A journey that failed may be tried again, alone, after all (unsteady.py).
"""
import contextlib
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import unsteady

PYTHON = "/usr/bin/python3"
SEED = 1  # of what is random (tests/journeys/harness.py and tests/unit/seed_help.h have the same)
# The longest first: what is left in the end is short.
COMPUTE = ["unit-asan", "unit-tsan", "sim", "model", "unit", "fuzz", "sim-asan"]
LAST = ["runs"]
NICE = 10
beside = threading.Event()  # what computes runs beside journeys: one program at a time, so that they are not late


class Tally:
    def __init__(self):
        self.passed = 0
        self.failed = 0
        self.broken = []
        self.suspects = []  # failed journeys: (step, name, text, how to run it alone)
        self.lock = threading.Lock()

    def add(self, name, passed, failed, seconds, output):
        with self.lock:
            self.add_alone(name, passed, failed, seconds, output)

    def add_alone(self, name, passed, failed, seconds, output):
        if passed + failed == 0:
            failed = 1
        self.passed += passed
        self.failed += failed
        verdict = "ok  " if failed == 0 else "FAIL"
        print(f"{verdict} {name}: {passed} passed, {failed} failed ({seconds:.1f} s)", flush=True)
        if failed:
            self.broken.append(name)
            print(output, flush=True)


def run(command, env=None, timeout=900):
    began = time.monotonic()
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})},
                              timeout=timeout, check=False)
        code, output = done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        code, output = -1, (late.stdout or b"").decode(errors="replace") + f"\nended after {timeout} s"
    return code, output, time.monotonic() - began


def cmocka(tally, name, program):
    code, output, seconds = run([program], {"CMOCKA_MESSAGE_OUTPUT": "TAP"})
    passed = len(re.findall(r"^ok \d+", output, re.M))
    failed = len(re.findall(r"^not ok \d+", output, re.M))
    if code != 0 and failed == 0:  # a crash, or a report of a sanitizer at the end
        failed = 1
    tally.add(name, passed, failed, seconds, output)


MEMORY_FOLDER, MEMORY_NEEDED = "/dev/shm", 4 << 30


@contextlib.contextmanager
def scratch():
    """Where servers of tests have their files: in memory, if there is room. What a disk does when it is busy is no subject of
    any test, and Redis and the log of write-behind wait for it."""
    roomy = os.path.isdir(MEMORY_FOLDER) and shutil.disk_usage(MEMORY_FOLDER).free > MEMORY_NEEDED
    folder = tempfile.mkdtemp(prefix="terrace-test-", dir=MEMORY_FOLDER if roomy else None)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def ask_pytest(arguments, env):
    """What `run` gives, and what is noted of tests that failed."""
    with scratch() as folder:
        notes = f"{folder}/failed"
        done = run([PYTHON, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "unsteady", "--rootdir=.", f"--basetemp={folder}/stages", *arguments],
                   {**env, "UNSTEADY_NOTES": notes, "PYTHONPATH": os.path.dirname(os.path.abspath(unsteady.__file__))}, timeout=1200)
        return *done, unsteady.noted(notes)


def pytest(tally, name, arguments, env, at_once=1):
    """`at_once`: journeys mostly wait, so several files may run beside each other; a file stays in one process."""
    several = ["-n", str(at_once), "--dist", "loadfile"] if at_once > 1 else []
    code, output, seconds, notes = ask_pytest([*several, *arguments], env)
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|errors?)", output.splitlines()[-1] if output else "")}
    failed = counts.get("failed", 0) + counts.get("error", 0) + counts.get("errors", 0)
    if code not in (0, 1) and failed == 0:
        failed = 1
    if code == 1 and at_once > 1 and failed and unsteady.may_be_tried_again(failed, notes):
        for test, text in dict(notes).items():
            print(f"late {name}: {test} is tried again when all has ended", flush=True)
            tally.suspects.append((name, test, text, lambda test=test: ask_pytest([test], env)[0] == 0))
        failed = 0
    tally.add(name, counts.get("passed", 0), failed, seconds, output)
    if not failed:  # what a run measured, line by line (tests/soak)
        print("".join(line + "\n" for line in output.splitlines() if line.startswith("| ")), end="", flush=True)


def all_journeys(*longest):
    """The files in the order in which they begin: what is left in the end is short."""
    first = [f"tests/journeys/test_{name}.py" for name in longest]
    return first + [path for path in sorted(glob.glob("tests/journeys/test_*.py")) if path not in first]


def whole(tally, name, command, env=None, timeout=900):
    code, output, seconds = run(command, env, timeout)
    tally.add(name, int(code == 0), int(code != 0), seconds, output)


SANITIZER = {
    "ASAN_OPTIONS": "abort_on_error=1:detect_leaks=1:strict_string_checks=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
}


def programs_in(folder, prefix):
    return [path for path in sorted(glob.glob(f"{folder}/{prefix}_*"))
            if os.access(path, os.X_OK) and not path.endswith((".o", ".d"))]


def two_at_once(job, programs):
    """The machine has two cores at least."""
    with ThreadPoolExecutor(1 if beside.is_set() else 2) as pool:
        list(pool.map(job, programs))  # list: what a job raises is raised here


def starts_threads(program):
    with open(f"tests/unit/{os.path.basename(program)}.c", encoding="utf-8") as source:
        return "thread_create(" in source.read()


def unit(tally, build, mode):
    """Under ThreadSanitizer only what starts threads: the rest cannot race, and would take minutes."""
    programs = [program for program in programs_in(f"{build}/{mode}/tests/unit", "test") if mode != "tsan" or starts_threads(program)]
    two_at_once(lambda program: cmocka(tally, f"unit/{mode}/{os.path.basename(program)}", program), programs)


def fuzz(tally, build, runs):
    """Every seed once, then some new inputs, of a given parser always the same, as far as the time goes; long runs are `make fuzz`."""
    def one(program):
        kind = os.path.basename(program)[len("fuzz_"):]
        scratch_of = f"{build}/fuzz/short/{kind}"
        shutil.rmtree(scratch_of, ignore_errors=True)
        os.makedirs(scratch_of)
        whole(tally, f"fuzz/{kind}", [program, f"-runs={runs}", "-max_total_time=3", f"-seed={SEED}", "-timeout=60", "-rss_limit_mb=2048",
                                      f"-artifact_prefix={scratch_of}/", scratch_of, f"tests/fuzz/corpus/{kind}"])
    two_at_once(one, programs_in(f"{build}/fuzz/tests/fuzz", "fuzz"))


def model(tally):
    """Each model and each variant of it is a test."""
    code, output, seconds = run([PYTHON, "tests/model/run.py", "--short"])
    counts = re.findall(r"^(\d+) passed, (\d+) failed$", output, re.M)
    passed, failed = map(int, counts[-1]) if counts else (0, 0)
    if code != 0 and failed == 0:
        failed = 1
    tally.add("model", passed, failed, seconds, output)


SAVED = ["--managed", "--faults", "save,kill,leave,pause,cut,slow,hole,trim,frames,reset"]


def sim(tally, build, mode, storms, deaf):
    """Fixed seeds: the storm of everything, then what must fail nobody, then what only the comparison of nodes can find, then what is rare in
    the storm: a Redis that dies with its answers and announcements, and nodes that come and go in order."""
    program = f"{build}/{mode}/tests/sim/sim"
    worlds = [(f"{storms} seeds", [], storms),
              (f"{deaf} seeds with nodes that leave", ["--faults", "leave", "--nodes", "4"], deaf),
              (f"{storms // 4} seeds with managed keys, whose missed writes come out of the log", ["--managed"], storms // 4),
              (f"{storms // 4} seeds with nodes that come back with what they wrote down", SAVED, storms // 4),
              (f"{deaf} seeds with nothing but flushes and nonsense, which fail nobody's request", ["--faults", "flush,meddle,forge"], deaf),
              (f"{deaf} seeds with lost announcements", ["--faults", "deaf", "--nodes", "3"], deaf),
              (f"{deaf} seeds with writes that nobody hears of", ["--faults", "unsaid", "--nodes", "3"], deaf)]
    two_at_once(lambda world: whole(tally, f"sim/{mode}: {world[0]}", [program, *world[1], "--seeds", f"1..{world[2]}"], SANITIZER), worlds)


def runs(tally, env):
    """R1 to R12, short. Some measure how long something takes: those run when nothing but other runs, which mostly wait, does."""
    def some(names):
        pytest(tally, f"runs: {' '.join(names)}", [f"tests/soak/test_{name}.py" for name in names], env)
    two_at_once(some, [["crashes", "failover"], ["bus", "load", "registers", "invalidated", "unknown"]])


def side_by_side(steps, tally):
    """What computes, beside what mostly waits, and after both what judges by the clock."""
    def compute():
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)  # of this thread, and what it starts
        for name in COMPUTE:
            attempt(steps[name], tally, name)
    computing = threading.Thread(target=compute)
    beside.set()
    computing.start()
    for name in steps:
        if name not in COMPUTE + LAST:
            attempt(steps[name], tally, name)
    beside.clear()
    computing.join()
    for name in LAST:
        attempt(steps[name], tally, name)


def try_suspects(tally):
    """Says what became of them: of all that are unsteady, the names."""
    excused, failed = unsteady.judged(tally.suspects, lambda suspect: suspect[-1]())
    for verdict, suspects in (("unsteady:", excused), ("FAILED", failed)):
        for step, test, text, _ in suspects:
            print(f"{verdict} {test} ({step})\n{text}", flush=True)
    tally.passed += len(excused)
    tally.failed += len(failed)
    tally.broken += [f"{step}: {test}" for step, test, *_ in failed]
    return [f"{step}: {test}" for step, test, *_ in excused]


def attempt(step, tally, name):
    """A step that cannot be run has failed."""
    try:
        step()
    except Exception as error:  # pylint: disable=broad-except
        tally.add(name, 0, 1, 0.0, repr(error))


def main():
    build, wanted = sys.argv[1], sys.argv[2:]
    tally = Tally()
    env = {"TERRACED": f"{build}/release/terraced"}
    short = {**SANITIZER, "JOURNEY_COMMANDS": "6000", "JOURNEY_ROUNDS": "500", "JOURNEY_SLACK_S": "5", "JOURNEY_SANITIZED": "1", "NEAR_SECONDS": "2"}
    # What tells most about memory and about threads; what reads bytes alone starts no thread.
    both = [f"tests/journeys/test_{name}.py" for name in
            ("tracking", "pubsub", "coherence", "sessions", "managed", "single_flight", "native_order", "native_watch", "large_written",
             "warm_faults", "snapshot", "join", "hot")]
    memory = [f"tests/journeys/test_{name}.py" for name in
              ("transactions", "held_answers", "large_streamed", "bad_input", "acl", "tls", "blocking", "regressions", "managed_many",
               "large_managed", "behind", "native", "native_random", "warm", "native_warm", "http_api", "client_async", "client_memory")]
    # OpenSSL has no instrumentation: what it orders by atomics of its own would be races to ThreadSanitizer.
    threads = [f"tests/journeys/test_{name}.py" for name in ("history", "client_threads", "barrier", "standing")]
    every = all_journeys("held_answers", "history", "bench", "endpoints", "rights", "warm", "warm_faults", "runbook", "l2_faults", "check")
    steps = {
        "floors": lambda: whole(tally, "floors", [PYTHON, "tests/floors.py"]),
        "model": lambda: model(tally),
        "mutants": lambda: whole(tally, "mutants still apply", [PYTHON, "tests/mutants/run.py", "--check"]),
        "unit": lambda: unit(tally, build, "release"),
        "unit-asan": lambda: unit(tally, build, "asan"),
        "unit-tsan": lambda: unit(tally, build, "tsan"),
        "sim": lambda: sim(tally, build, "release", 900, 225),
        "sim-asan": lambda: sim(tally, build, "asan", 90, 24),
        "fuzz": lambda: fuzz(tally, build, 7_000),
        "journeys": lambda: pytest(tally, "journeys", every, env, at_once=3),
        "clients": lambda: pytest(tally, "flows of clients", ["tests/clients"], env, at_once=2),
        "runs": lambda: runs(tally, env),
        "journeys-asan": lambda: pytest(tally, "journeys under ASan and UBSan", [*both, *memory],
                                        {**short, "TERRACED": f"{build}/asan/terraced"}, at_once=3),
        "journeys-tsan": lambda: pytest(tally, "journeys under TSan", [*threads, *both],
                                        {**short, "TERRACED": f"{build}/tsan/terraced", "NEAR_MODE": "tsan"}, at_once=4),
    }
    if wanted:
        for name in wanted:
            steps[name]()
    else:
        side_by_side(steps, tally)
    names = try_suspects(tally)
    if names:
        print("unsteady: " + ", ".join(names))
    if tally.broken:
        print("failed: " + ", ".join(tally.broken))
    print(f"{tally.passed} passed, {tally.failed} failed")
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
