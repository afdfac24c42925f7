#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Searches every model in this folder exhaustively, and every variant of it that must fail.

    tests/model/run.py [--short] [NAME ...]      models by name; none: all of them

A model holds if spin visits all its states without an error and without cutting the search short; a variant, a model with
one rule switched off, must be caught. Prints a table, then what went otherwise. Exit 1 on any surprise.
"""
import argparse
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
MEMORY_MB = 4096
DEPTH = 1000000  # a search that is deeper counts as a surprise
SEARCH_S = 600

HOLDS, FAILS = "holds", "fails"


class Case:
    def __init__(self, model, switches, expected, bounds, short):
        self.model = model
        self.switches = switches  # rules left out
        self.expected = expected
        self.bounds = bounds
        self.short = short
        self.states = 0
        self.seconds = 0.0
        self.verdict = ""
        self.output = ""

    @property
    def variant(self):
        return " + ".join(self.switches) or "(all rules)"


def words(text):
    return text.split()


# Model -> bounds of the short form; bounds of the full one (each a search of its own); switches that must be
# caught, within bounds in which the model itself was searched whole by the full form.
MODELS = {
    "token": {
        "short": ["OPS=2 STRANGER=1 LOSSES=0 FAILS=1", "OPS=1 STRANGER=1 LOSSES=1 FAILS=1"],
        "full": ["OPS=2 STRANGER=2 LOSSES=0 FAILS=1", "OPS=2 STRANGER=1 LOSSES=1 FAILS=0", "OPS=3 STRANGER=0 LOSSES=0 FAILS=0"],
        "variants": "OPS=2 STRANGER=1 LOSSES=1 FAILS=0",
        "fail": ["NO_TOKEN", "NO_LANDING_RULE", "LANDING_KEEPS_ENTRY", "WRITE_INSTALLS", "OWN_ECHO_DROPPED", "NO_END_AT_ANSWER",
                 "NO_FLOOR", "GENERATION_ONCE", "GENERATION_ONCE STAMP_AT_LANDING", "NO_BARRIER", "BARRIER_ENDS_WITH_BUS", "ANY_PONG"],
        "own bounds": {"ANY_PONG": "OPS=3 STRANGER=0 LOSSES=0 FAILS=0"},
    },
    "fence": {
        "short": ["T=1 END=3 WRITES=1 BUS_MAX=2"],
        "full": ["T=1 END=4 WRITES=1 BUS_MAX=3"],
        "variants": "T=1 END=3 WRITES=1 BUS_MAX=2",
        "fail": ["H_RECEIVE_TIME", "CLOCK_AFTER_SEND", "FENCE_TIMER", "BEAT_ON_DATA_LINK", "H_BEFORE_LAST_SLICE",
                 "CLOCK_BEFORE_RECV", "JOIN_ANY_AGE", "H_AT_ECHO"],
    },
    "epoch": {
        "short": ["END=3 MOVES=1 OTHERS=0", "END=3 MOVES=0 OTHERS=0 FLUSHES=1"],
        "full": ["END=3 MOVES=2 OTHERS=0", "END=3 MOVES=1 OTHERS=0 WRITES=0 FLUSHES=1"],
        "variants": "END=3 MOVES=2 OTHERS=0",
        "breadth first": True,  # its errors are near, and depth first is a long way to them
        "fail": ["NO_EPOCHS", "KNOWN_IGNORED", "NO_REPLID", "LINKS_NOT_BOUND", "NO_LINK_FENCE", "NO_FLOOR", "ANY_REIGN"],
        "fail in full": ["COUNTER_ONLY"],  # 7 million states
        "own bounds": {"LINKS_NOT_BOUND": "END=3 MOVES=1 OTHERS=0"},
    },
    "unknown": {
        "short": [""],
        "full": ["CUTS=4 MOVES=5 RESTARTS=3"],
        "variants": "",
        "fail": ["NO_KILL", "ANSWER_BEFORE_KILL", "KILL_BY_CLOSE", "LOSS_TAKEN_FOR_ANSWER", "KILL_ON_ANY_SERVER",
                 "ANY_NEW_RUN_ID"],
    },
    "replay": {
        "short": ["WRITES=2 BEATS=1 LOSSES=1 CUTS=1 TRIMS=1", "WRITES=2 BEATS=1 LOSSES=0 CUTS=0 TRIMS=1 LIVES=1"],
        "full": ["WRITES=3 BEATS=1 LOSSES=2 CUTS=1 TRIMS=1", "WRITES=2 BEATS=1 LOSSES=1 CUTS=2 TRIMS=1",
                 "WRITES=2 BEATS=1 LOSSES=1 CUTS=1 TRIMS=1 LIVES=1"],
        "variants": "WRITES=2 BEATS=1 LOSSES=1 CUTS=1 TRIMS=1",
        "fail": ["ASK_BEFORE_SUBSCRIPTION FIRST_FRAME_UNSEEN", "NO_OLDEST", "STALE_PAGE_DECIDES", "RUN_IS_WHOLE", "FIRST_FRAME_UNSEEN",
                 "TOKENS_STAY", "FLOOR_STAYS", "MARK_AFTER_WALK", "FILE_IS_FRESH"],
        "own bounds": {"MARK_AFTER_WALK": "WRITES=2 BEATS=1 LOSSES=0 CUTS=0 TRIMS=0 LIVES=1",
                       "FILE_IS_FRESH": "WRITES=2 BEATS=1 LOSSES=0 CUTS=1 TRIMS=1 LIVES=1",
                       "ASK_BEFORE_SUBSCRIPTION FIRST_FRAME_UNSEEN": "WRITES=2 BEATS=1 LOSSES=0 CUTS=1 TRIMS=1"},
    },
    "near": {
        "short": ["T=0 END=2 CALLS=2"],
        "full": ["T=1 END=3 CALLS=2", "T=0 END=2 CALLS=3", "T=0 END=2 CALLS=2 LOSSES=1", "T=0 END=2 CALLS=2 WRITES=1 OWN=1",
                 "T=0 END=1 CALLS=3 WRITES=2"],
        "variants": "T=0 END=2 CALLS=3",
        "fail": ["NO_TICKET", "NO_DROP_AT_ANSWER", "CLAIM_NOT_NOTED"],
        "fail in full": ["NO_LANDING_RULE", "NO_FLOOR", "OLD_TICKETS", "H_AT_ANSWER", "H_BEFORE_EVENTS", "LOOK_BEFORE_PROOF", "INBOX_FIRST",
                         "LOOKUP_BEFORE_TABLE"],  # 10 to 20 s each
        "own bounds": {"NO_FLOOR": "T=0 END=2 CALLS=2 LOSSES=1", "OLD_TICKETS": "T=0 END=2 CALLS=2 LOSSES=1",
                       "NO_DROP_AT_ANSWER": "T=0 END=2 CALLS=2 WRITES=1 OWN=1", "CLAIM_NOT_NOTED": "T=0 END=1 CALLS=3 WRITES=2"},
    },
    "strict": {
        "short": ["T_HOLDER=1 END=3"],
        "full": ["T_HOLDER=1 END=4"],
        "variants": "T_HOLDER=1 END=4",
        "fail": ["AT_ANSWER", "NO_OWN_MARKER", "MARKER_EARLY", "NO_LISTENING_TIME", "OWN_T", "LIVE_ONLY_APPLIED_BUS"],
    },
}


def cases(names, short):
    for name in names:
        model = MODELS[name]
        for bounds in model["short" if short else "full"]:
            yield Case(name, [], HOLDS, bounds, short)
        for switches in model["fail"] + ([] if short else model.get("fail in full", [])):
            yield Case(name, words(switches), FAILS, model.get("own bounds", {}).get(switches, model["variants"]), short)


def run(command, folder):
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SEARCH_S, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def build(case, folder):
    """The verifier of this model. COLLAPSE stores states smaller and none away: the search stays exhaustive. A short search has room for
    them as they are, and takes half the time so; and what fails soon is searched in less time than gcc takes to make it faster."""
    defines = [f"-D{word}" for word in [*words(case.bounds), *case.switches]]
    code, output = run(["spin", *defines, "-a", str(HERE / f"{case.model}.pml")], folder)
    if code == 0 and "rror" not in output:
        code, output = run(["gcc", "-O2" if not case.short else "-O1" if case.expected == HOLDS else "-O0", "-w", "-DSAFETY",
                            *([] if case.short else ["-DCOLLAPSE"]),
                            *(["-DBFS"] if case.expected == FAILS and MODELS[case.model].get("breadth first") else []),
                            f"-DMEMLIM={MEMORY_MB}", "-o", "pan", "pan.c"], folder)
    else:
        code = 1
    return code == 0, output


def judge(output):
    """What a search says: HOLDS, FAILS, or why it says nothing."""
    errors = re.search(r"errors: (\d+)", output)
    if errors is None:
        return "no verdict"
    if "assertion violated" in output:
        return FAILS
    if int(errors.group(1)) != 0:
        return "an error that is no assertion"
    for cut in ("Search not completed", "max search depth too small", "out of memory", "memory limit"):
        if cut in output:
            return f"cut short ({cut})"
    return HOLDS


def search(case):
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="terrace-model-") as folder:
        try:
            built, case.output = build(case, folder)
            if built:
                _, case.output = run(["./pan", f"-m{DEPTH}", "-w20"], folder)
                case.verdict = judge(case.output)
            else:
                case.verdict = "does not compile"
        except subprocess.TimeoutExpired:
            case.verdict = f"no end after {SEARCH_S} s"
    states = re.search(r"([\d.e+]+) states, stored", case.output)
    case.states = int(float(states.group(1))) if states else 0
    case.seconds = time.monotonic() - began
    return case


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="smaller bounds")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in MODELS]
    if unknown:
        parser.error(f"no such model: {unknown[0]} (there are: {' '.join(MODELS)})")
    pending = list(cases(options.names or MODELS, options.short))
    surprises = []
    print("| model | variant | bounds | expected | states | seconds | verdict |")
    print("|---|---|---|---|---:|---:|---|")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for case in pool.map(search, pending):
            good = case.verdict == case.expected
            print(f"| {case.model} | {case.variant} | {case.bounds or 'as written'} | {case.expected} | {case.states:,} "
                  f"| {case.seconds:.1f} | {'' if good else 'SURPRISE: '}{case.verdict} |", flush=True)
            if not good:
                surprises.append(case)
    for case in surprises:
        print(f"\n{case.model} {case.variant}: expected that it {case.expected}: {case.verdict}\n{case.output}")
    print(f"\n{len(pending) - len(surprises)} passed, {len(surprises)} failed")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main())
