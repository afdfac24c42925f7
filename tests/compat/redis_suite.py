#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs Redis' own test suite from outside, against redis-server and against nodes: what `make compat-redis` does.

    tests/compat/redis_suite.py BUILD_DIR [--mode l2 --mode alone ...] [--tags "-slow ..."] [--report FILE] [FILE ...]

The suite is that of the source package of Debian's redis, fetched into
BUILD_DIR/compat/redis (debian_source.py). Each file of tests runs first against a redis-server, then
in each mode: what redis-server passes a node should, less the tests that redis_suite.txt names with reasons. A failure on
top of it, and a named test that passes, make the exit code 1.

Modes:
    l2      one node with an L2
    alone   one node alone; most failures are commands that it does not have, so they are shown and not judged
    resp3   one node with an L2; every connection of the suite says HELLO 3 first (with redis-server, too)

--durable: a test that throws is a failure like any other and does not hide those behind it; nor does, by a change to the
copy of the suite, a part of a file whose settings are refused. A file that does not end is ended after --limit seconds.
"""

import argparse
import collections
import contextlib
import datetime
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "journeys")]

from debian_source import fetch_source  # noqa: E402
from harness import ROOT, Stage, _die_with_parent, free_port  # noqa: E402  (needs the path above)

VERSION = "7.0.15"
LISTED = HERE / "redis_suite.txt"
MODES = ["l2", "alone", "resp3"]
# Left out: what takes minutes, what looks inside by DEBUG, and what reads the stream to replicas.
TAGS = "-slow -needs:debug -needs:repl"
FILE_LIMIT_S = 300
# Files that test what only a server of their own has (its files, its memory, its cluster), all of whose tests are tagged
# external:skip: with redis-server, too, they have nothing to run.
SKIPPED = re.compile(r"unit/(printver|aofrw|shutdown|oom-score-adj|moduleapi|cluster/)|integration/(?!redis-cli|redis-benchmark)")
RESULT = re.compile(r"^\[(ok|err|exception|ignore|skip|TIMEOUT)\]: ?(.*)$")


def fetch(folder):
    """A folder with the suite's tests/; fetched once. Of the rest of the source nothing is kept."""
    suite = folder / "suite"
    if not (suite / "tests" / "test_helper.tcl").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            fetch_source("redis", scratch)
            found = list(pathlib.Path(scratch).glob(f"redis-{VERSION}*/tests"))
            if not found:
                raise SystemExit(f"the source package of redis is not version {VERSION}")
            shutil.rmtree(suite, ignore_errors=True)
            shutil.copytree(found[0], suite / "tests", symlinks=True)
    return suite


def guard_settings(path):
    """Settings of a part of a file that are refused fail that part, not all behind it."""
    text = path.read_text()
    call = "        run_external_server_test $code $overrides\n"
    if text.count(call) != 1:
        raise SystemExit("the suite's start_server is another than this program knows")
    path.write_text(text.replace(call, """\
        set depth [llength $::servers]
        if {[catch {run_external_server_test $code $overrides} error]} {
            set ::servers [lrange $::servers 0 [expr {$depth - 1}]]
            send_data_packet $::test_server_fd err "a part of the file: $error"
        }
"""))


def prepare(source, folder, is_resp3):
    """A copy for one target: files that tests leave behind are not found by another's."""
    folder.mkdir(parents=True)
    shutil.copytree(source / "tests", folder / "tests", symlinks=True)
    (folder / "tests" / "tmp").mkdir(exist_ok=True)
    (folder / "src").mkdir()
    for name in ("redis-server", "redis-cli", "redis-benchmark"):
        (folder / "src" / name).symlink_to(shutil.which(name))
    guard_settings(folder / "tests" / "support" / "server.tcl")
    if is_resp3:
        path = folder / "tests" / "support" / "redis.tcl"
        text = path.read_text()
        anchor = "    interp alias {} ::redis::redisHandle$id {} ::redis::__dispatch__ $id\n"
        if text.count(anchor) != 1:
            raise SystemExit("the suite's client is another than this program knows")
        hello = "    if {!$readraw} { ::redis::redisHandle$id hello 3; if {$defer} { ::redis::redisHandle$id read } }\n"
        hello += "    return ::redis::redisHandle$id\n"
        path.write_text(text.replace(anchor, anchor + hello))
    return folder


def names_of(suite):
    text = (suite / "tests" / "test_helper.tcl").read_text()
    listed = re.search(r"^set ::all_tests \{(.*?)^\}", text, re.M | re.S).group(1).split()
    return [name for name in listed if not SKIPPED.match(name)]


def run_file(suite, port, name, tags, limit_s, log, skipped=()):
    """As run_file_once; again if the suite found no port for itself."""
    for _ in range(5):
        results = run_file_once(suite, port, name, tags, limit_s, log, skipped)
        if results or "address already in use" not in log.read_text("utf-8", "replace"):
            break
    return results


def run_file_once(suite, port, name, tags, limit_s, log, skipped):
    """What each test of a file gave: [(ok | err | exception | TIMEOUT, name)]."""
    argv = ["tclsh", "tests/test_helper.tcl", "--clients", "1", "--durable", "--baseport", str(random.randrange(12000, 31000)),
            "--host", "127.0.0.1", "--port", str(port), "--single", name]
    for tag in tags.split():
        argv += ["--tags", tag]
    for test in skipped:
        argv += ["--skiptest", test]
    with open(log, "wb") as out:
        child = subprocess.Popen(argv, cwd=suite, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                 preexec_fn=lambda: (os.setsid(), _die_with_parent()))
        try:
            child.wait(limit_s)
            timed_out = False
        except subprocess.TimeoutExpired:
            timed_out = True
        # The suite's client is a child of its own, in the same session.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    results = []
    for line in re.sub(r"\x1b\[[0-9;]*m", "", log.read_text("utf-8", "replace")).splitlines():
        match = RESULT.match(line)
        if not match or match.group(1) in ("ignore", "skip"):
            continue
        kind, text = match.groups()
        if kind == "ok":
            text = re.sub(r" \(\d+ ms\)$", "", text)
        elif kind == "err":
            text = re.sub(r" in tests/\S+\.tcl$", "", text)
        results.append((kind, text))
    if timed_out:
        results.append(("TIMEOUT", f"after {limit_s} s"))
    return results


class Targets:
    """What the suite runs against in one mode; started anew for each file, for a test may leave a server in ruins."""

    def __init__(self, mode, folder):
        self.mode, self.folder, self.count = mode, folder, 0

    @contextlib.contextmanager
    def port(self):
        self.count += 1
        with Stage(self.folder / f"{self.mode}{self.count}") as stage:
            if self.mode == "redis":
                yield stage.redis().port
            elif self.mode == "alone":
                yield stage.node().port
            else:
                yield stage.node(l2=stage.redis()).port


def read_listed():
    """{(mode, file): {test: reason}} of lines FILE | TEST | MODE, ... | REASON; and those whose reason begins with
    "spared: ", of which no node is asked, as {(mode, file): [test]}."""
    listed, spared = collections.defaultdict(dict), collections.defaultdict(list)
    for number, line in enumerate(LISTED.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split(" | ")]
        if len(parts) != 4:
            raise SystemExit(f"{LISTED}:{number}: not FILE | TEST | MODES | REASON")
        for mode in parts[2].split(","):
            listed[mode.strip(), parts[0]][parts[1]] = parts[3]
            if parts[3].startswith("spared: "):
                spared[mode.strip(), parts[0]].append(parts[1])
    return listed, spared


def compare(expected, got, listed):
    """(passed, listed failures, other failures, listed ones that pass) of one file: lists of names. What redis-server
    passes must be passed as often."""
    want = collections.Counter(name for kind, name in expected if kind == "ok")
    have = collections.Counter(name for kind, name in got if kind == "ok")
    missing = want - have
    passed = want & have
    excused = [name for name in missing.elements() if name in listed]
    failed = [name for name in missing.elements() if name not in listed]
    too_good = [name for name in listed if want[name] and not missing[name]]
    return list(passed.elements()), excused, failed, too_good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--mode", action="append", choices=MODES)
    parser.add_argument("--tags", default=TAGS)
    parser.add_argument("--limit", type=int, default=FILE_LIMIT_S, help="seconds for a file")
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("--suite", type=pathlib.Path, help="unpacked source of redis")
    parser.add_argument("--keep", type=pathlib.Path, help="keep what the suite printed here")
    parser.add_argument("files", nargs="*")
    args = parser.parse_intermixed_args()
    source = args.suite or fetch(pathlib.Path(args.build).resolve() / "compat" / "redis")
    listed, spared = read_listed()
    files = args.files or names_of(source)
    modes = args.mode or ["l2"]
    bad = False
    rows = {mode: [] for mode in modes}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        logs = args.keep or scratch / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        suites = {is_resp3: prepare(source, scratch / f"suite{int(is_resp3)}", is_resp3)
                  for is_resp3 in {mode == "resp3" for mode in modes}}
        for name in files:
            expected = {}
            for is_resp3, suite in suites.items():
                expected[is_resp3] = run_one("redis", suite, scratch, logs, name, args)
                if not expected[is_resp3]:
                    del expected[is_resp3]
            if not expected:
                continue  # all of it is left out by its tags
            for mode in modes:
                is_resp3 = mode == "resp3"
                if is_resp3 not in expected:
                    continue
                got = run_one(mode, suites[is_resp3], scratch, logs, name, args, spared[mode, name])
                passed, excused, failed, too_good = compare(expected[is_resp3], got, listed[mode, name])
                wanted = len(passed) + len(excused) + len(failed)
                rows[mode].append((name, wanted, len(passed), excused, failed, too_good))
                bad = bad or (failed and mode != "alone") or too_good
                print(f"{mode:6} {name:28} redis-server {wanted:4}  node {len(passed):4}"
                      f"{f'  listed {len(excused)}' if excused else ''}{f'  FAIL {len(failed)}' if failed else ''}", flush=True)
                for text in failed:
                    print(f"         FAIL {text}", flush=True)
                for text in too_good:
                    print(f"         listed, and passes: {text}", flush=True)
    for mode in modes:
        print(f"{mode}: {totals(rows[mode])}")
    if args.report:
        write_report(args.report, rows, listed, args)
    return 1 if bad else 0


def run_one(mode, suite, scratch, logs, name, args, skipped=()):
    with Targets(mode, scratch / f"{mode}-{name.replace('/', '_')}-{time.monotonic_ns()}").port() as port:
        return run_file(suite, port, name, args.tags, args.limit, logs / f"{mode}-{name.replace('/', '_')}.txt",
                        skipped)


def totals(rows):
    wanted, passed = sum(row[1] for row in rows), sum(row[2] for row in rows)
    excused, failed = sum(len(row[3]) for row in rows), sum(len(row[4]) for row in rows)
    return f"{passed} of the {wanted} that redis-server passes; {excused} listed as intended, {failed} failures"


def write_report(path, rows, listed, args):
    today = datetime.date.today().isoformat()
    redis_version = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    lines = [f"# Redis' own test suite from outside, {today}", "",
             f"`make compat-redis`: the suite of Debian's source package of Redis {VERSION}, file by file, tags `{args.tags}`, against "
             f"redis-server ({redis_version}) and in the same run against nodes. A test counts that redis-server passes.", ""]
    for mode, of_mode in rows.items():
        lines += [f"**{mode}**: {totals(of_mode)}.", ""]
    lines += ["| file | redis-server | " + " | ".join(rows) + " |", "|---|---|" + "---|" * len(rows)]
    by_file = collections.defaultdict(dict)
    for mode, of_mode in rows.items():
        for row in of_mode:
            by_file[row[0]][mode] = row
    for name, of_file in by_file.items():
        wanted = max(row[1] for row in of_file.values())
        lines.append(f"| {name} | {wanted} | " + " | ".join(str(of_file[mode][2]) if mode in of_file else "" for mode in rows) + " |")
    lines += ["", "## Not passed", "", "| file | test | mode | why |", "|---|---|---|---|"]
    for mode, of_mode in rows.items():
        for name, _, _, excused, failed, _ in of_mode:
            for test, count in collections.Counter(excused).items():
                lines.append(f"| {name} | {test}{f' ({count} times)' if count > 1 else ''} | {mode} | {listed[mode, name][test]} |")
            for test in failed if mode != "alone" else ():
                lines.append(f"| {name} | {test} | {mode} | **not intended** |")
    path.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
