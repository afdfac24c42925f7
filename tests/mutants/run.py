#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Breaks one rule of coherence at a time and demands that the suite sees it.

    tests/mutants/run.py [NAME ...]           mutants whose names contain one of the words; none: all of them
      --check           only whether each mutant still applies: each old text stands exactly once in its file
      --all             every killer of a mutant, not only until the first one kills
      --killer TEXT     this killer instead of the mutants' own, as `journey history calm`; may be given several times
      --report FILE     the table as Markdown
      --jobs N          mutants side by side (2)

Works on copies of the tree, whose objects it takes along, so that a mutant costs the object that it changes. First the
unchanged copy: all killers must pass there. Then each mutant (mutants.py) is built and its killers run in their order,
until one fails; a journey must fail twice. Exit 1: a mutant survived, does not apply or does not build, a killer fails without a mutant, or a mutant
that is said to change nothing is killed.
"""
import argparse
import datetime
import os
import pathlib
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from mutants import MUTANTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
PYTHON = "/usr/bin/python3"
LIMIT_S = {"unit": 60, "sim": 120, "journey": 300}
SIMS = {
    "storm": ["--seeds", "1..2000"],
    "gentle": ["--faults", "flush,meddle,forge", "--seeds", "1..1000"],
    "early": ["--faults", "early", "--seeds", "1..1000"],
    "deaf": ["--faults", "deaf", "--nodes", "3", "--seeds", "1..500"],
    "unsaid": ["--faults", "unsaid", "--nodes", "3", "--seeds", "1..1000"],
    "managed": ["--managed", "--faults", "frames,reset,half,hole,cut,trim,kill,pause,stall,slow,restart,flush", "--seeds", "1..1500"],
    "saved": ["--managed", "--faults", "save,kill,leave,pause,cut,slow,hole,trim,frames,reset", "--seeds", "1..1500"],
    "leave": ["--faults", "leave", "--nodes", "4", "--seeds", "1..500"],
}
# What a journey needs besides the node.
JOURNEY_TARGETS = ["build/release/terraced", "build/release/terrace", "build/release/terrace-bench",
                   "build/release/tests/journeys/hiredis_client", "build/release/tests/journeys/loaders",
                   "build/release/tests/journeys/near_load", "build/release/libterrace.so", "build/release/tests/fault/proxy"]


def environment():
    """Without what an outer make says to its children, and with the node of the copy; ccache may find objects of other
    trees."""
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "TERRACED")}
    return {"CCACHE_NOHASHDIR": "1", **env}


def run(command, cwd, limit_s):
    """Exit code (None: it did not end) and output."""
    try:
        done = subprocess.run(command, cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=limit_s, check=False)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as late:
        return None, (late.stdout or b"").decode(errors="replace")


class Killer:
    """A test program, by its short name: `unit X`, `sim X`, `journey FILE [WORDS]` (pytest's -k)."""

    def __init__(self, text):
        self.text = text
        self.kind, name, *rest = text.split(" ", 2)
        if self.kind == "unit":
            program = f"build/release/tests/unit/test_{name}"
            self.targets, self.command = [program], ["env", "CMOCKA_MESSAGE_OUTPUT=TAP", program]
        elif self.kind == "sim":
            program = "build/release/tests/sim/sim"
            self.targets, self.command = [program], [program, *SIMS[name]]
        elif self.kind == "journey":
            words = ["-k", rest[0]] if rest else []
            folder = "soak" if name in ("bus", "crashes", "failover", "load", "registers", "unknown") else "journeys"
            self.targets = JOURNEY_TARGETS
            self.command = [PYTHON, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
                            f"tests/{folder}/test_{name}.py", *words]
        else:
            raise ValueError(f"no such kind of killer: {text}")

    def witness(self, code, output):
        """Which of its tests failed, in a few words."""
        patterns = {"unit": r"^not ok \d+ - (\S+)", "sim": r"^sim: seed (\d+: \w+)", "journey": r"^FAILED \S+::(\S+)"}
        found = re.search(patterns[self.kind], output, re.M)
        if found:
            return f"{self.text}: {'seed ' if self.kind == 'sim' else ''}{found.group(1)}"
        return f"{self.text}: {'it does not end' if code is None else f'exit {code}'}"


class Tree:
    """A copy of what git knows of the working tree, with the objects that are built already."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                               stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")
        for name in names:
            if name and (ROOT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, self.folder / name)
        if (ROOT / "build/release").is_dir():
            shutil.copytree(ROOT / "build/release", self.folder / "build/release")

    def make(self, targets):
        compiler = ["CC=ccache gcc"] if shutil.which("ccache") else []
        return run(["make", "-s", "-j2", *compiler, *targets], self.folder, 600)

    def kill(self, killer, show=False):
        """What failed, or None: it passes. Raises if it does not build."""
        code, output = self.make(killer.targets)
        if code != 0:
            raise RuntimeError(f"does not build:\n{output}")
        code, output = run(killer.command, self.folder, LIMIT_S[killer.kind])
        if code != 0 and killer.kind == "journey" and not show:  # on a busy machine one may fail by chance
            code, output = run(killer.command, self.folder, LIMIT_S[killer.kind])
        if code != 0 and show:
            print(output, flush=True)
        return None if code == 0 else killer.witness(code, output)

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")


def mutated(mutant):
    """The files of a mutant as they become; raises if an old text does not stand exactly once."""
    texts = {}
    for name, old, new in mutant.edits:
        text = texts.get(name) or (ROOT / name).read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise RuntimeError(f"does not apply: {name} has {text.count(old)} times: {old}")
        if old == new:
            raise RuntimeError(f"changes nothing in {name}")
        texts[name] = text.replace(old, new)
    return texts


class Result:
    def __init__(self, mutant):
        self.mutant = mutant
        self.killed_by = []
        self.trouble = ""
        self.seconds = 0.0

    @property
    def good(self):
        return not self.trouble and bool(self.killed_by) != bool(self.mutant.equivalent)

    @property
    def verdict(self):
        if self.trouble:
            return self.trouble.splitlines()[0]
        if not self.killed_by:
            return f"nothing: {self.mutant.equivalent}" if self.mutant.equivalent else "SURVIVED"
        return "; ".join(self.killed_by)


def try_mutant(tree, mutant, all_killers):
    result = Result(mutant)
    began = time.monotonic()
    try:
        texts = mutated(mutant)
        for name, text in texts.items():
            tree.write(name, text)
        for killer in map(Killer, mutant.killers):
            witness = tree.kill(killer)
            if witness:
                result.killed_by.append(witness)
                if not all_killers:
                    break
    except RuntimeError as error:
        result.trouble = str(error)
    for name, _, _ in mutant.edits:
        tree.write(name, (ROOT / name).read_text(encoding="utf-8"))
    result.seconds = time.monotonic() - began
    return result


def side_by_side(trees, items, work):
    """work(tree, item) for all, one tree each at a time; the answers in the order of the items."""
    pending, answers = queue.Queue(), [None] * len(items)
    for place in enumerate(items):
        pending.put(place)

    def loop(tree):
        while True:
            try:
                at, item = pending.get_nowait()
            except queue.Empty:
                return
            answers[at] = work(tree, item)

    threads = [threading.Thread(target=loop, args=(tree,)) for tree in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def control(trees, mutants):
    """The killers that fail without a mutant."""
    killers = sorted({text for mutant in mutants for text in mutant.killers})
    for tree in trees:
        code, output = tree.make(sorted({target for text in killers for target in Killer(text).targets}))
        if code != 0:
            raise SystemExit(f"the unchanged tree does not build:\n{output}")
    found = side_by_side(trees, killers, lambda tree, text: tree.kill(Killer(text), show=True))
    return [witness for witness in found if witness], len(killers)


def line_of(result):
    name = result.mutant.name
    return f"| {name} | {result.mutant.rule} | {result.verdict} | {result.seconds:.1f} |"


def check(mutants):
    failures = 0
    for mutant in mutants:
        try:
            mutated(mutant)
        except RuntimeError as error:
            failures += 1
            print(f"{mutant.name}: {error}")
    names = [mutant.name for mutant in mutants]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        print(f"two mutants have one name: {twice}")
    print(f"{len(mutants)} mutants, {failures} do not apply")
    return 1 if failures or twice else 0


def report(path, results, seconds, control_line):
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    killed = sum(1 for result in results if result.killed_by)
    path.write_text("\n".join([
        "# Mutants: every rule of coherence broken once",
        "",
        f"`make mutants` on {datetime.date.today()}, commit {commit.stdout.decode().strip()}, "
        f"{os.cpu_count()} x {model.group(1) if model else 'unknown'}: {len(results)} mutants, {killed} killed, "
        f"{sum(1 for r in results if r.good and not r.killed_by)} change nothing that can be seen, "
        f"{sum(1 for r in results if not r.good)} otherwise; {seconds:.0f} s. {control_line}",
        "",
        "Killed by: the first of the mutant's killers that fails (a journey twice), and in it the first test. What each mutant changes is in "
        "`tests/mutants/mutants.py`.",
        "",
        "| mutant | rule | killed by | seconds |",
        "|---|---|---|---|",
        *map(line_of, results), ""]), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--killer", action="append")
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    mutants = [mutant for mutant in MUTANTS
               if not arguments.names or any(word in mutant.name for word in arguments.names)]
    if not mutants:
        raise SystemExit(f"no mutant has a name with {arguments.names}")
    if arguments.check:
        return check(mutants)
    if arguments.killer:
        mutants = [mutant._replace(killers=arguments.killer) for mutant in mutants]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as scratch:
        trees = [Tree(pathlib.Path(scratch) / str(i)) for i in range(max(1, min(arguments.jobs, len(mutants))))]
        failing, killer_count = control(trees, mutants)
        control_line = f"Without a mutant {killer_count - len(failing)} of {killer_count} killers pass."
        print(control_line, flush=True)
        for witness in failing:
            print(f"fails without a mutant: {witness}", flush=True)
        if failing:
            return 1

        def work(tree, mutant):
            result = try_mutant(tree, mutant, arguments.all)
            print(line_of(result) + ("" if result.good else "   <-----"), flush=True)
            if result.trouble:
                print(result.trouble, flush=True)
            return result

        results = side_by_side(trees, mutants, work)
    seconds = time.monotonic() - began
    bad = [result for result in results if not result.good]
    if arguments.report:
        report(arguments.report, results, seconds, control_line)
    for result in bad:
        print(f"not killed as it should be: {result.mutant.name}: {result.verdict}")
    print(f"{len(results) - len(bad)} passed, {len(bad)} failed ({seconds:.0f} s)")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
