# SPDX-License-Identifier: BSD-3-Clause
"""unsteady -- which failed journeys may be tried again, alone on the quiet machine, and what is said of them.

Three journeys run beside each other and beside what computes, on two cores: at times one is late, and fails by that alone. Such a test is
UNSTEADY: a defect of the test, which is to be mended, and is named by the run that met it. It is no reason to refuse what it tests.

So it must say that it was late: `until` ended in "not within", a socket, a client or a program timed out, or a time was compared with
SLACK_S. A wrong answer is wrong on any machine. And what a busy machine does not do excuses nobody, late or not: a report of a sanitizer, a
process that died, a history that breaks the contract. Nor do many at once: more than AT_MOST in a run mean that something is wrong.

Used by tests/run.py, which also loads it into pytest (-p unsteady) to note what fails: a line of JSON for each, in the file UNSTEADY_NOTES.
"""
import json
import os
import re

AT_MOST = 4   # in a run
TRIES = 3     # alone, and each must pass
ENDED_AS_ASKED = {"None", "0", "-9", "-15"}  # the exits of processes that a journey ends itself
NEVER = re.compile(r"Sanitizer|runtime error:|CHECK failed|Segmentation fault|core dumped|Aborted|crashed while running"
                   r"|violation|verdict|oracle"
                   r"|(?:returncode[=:] ?|exit |assert \(?)-(?:4|6|7|8|11)\b",  # a program that crashed: a signal that nobody sends
                   re.IGNORECASE)
# Of what pytest shows: what was raised (E), and the line that raised it (>). The rest is the test's own text, and names times as well.
LATE = re.compile(r"^E +(?:\w+\.)*\w*Timeout\w*:|^E .*\bnot within [\d.]+ s\b|^> .*\bSLACK_S\b", re.MULTILINE)


def pytest_runtest_logreport(report):
    """By the process that sees all reports, not by the workers of pytest-xdist."""
    path = os.environ.get("UNSTEADY_NOTES")
    if path and report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        text = "\n".join([report.longreprtext, *(f"--- {title} ---\n{content}" for title, content in report.sections)])
        with open(path, "a", encoding="utf-8") as notes:
            notes.write(json.dumps({"name": report.nodeid, "text": text}) + "\n")


def noted(path):
    """What failed, in the order in which it did: [(name, text)]. A test that fails in several of its parts is there for each."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as notes:
        return [(note["name"], note["text"]) for note in map(json.loads, notes)]


def is_excusable(text):
    """Whether what a test said when it failed may come of a busy machine, and of nothing else."""
    died = set(re.findall(r"\(pid \d+, exit (-?\w+)\)", text)) - ENDED_AS_ASKED
    return bool(LATE.search(text)) and not died and not NEVER.search(text)


def may_be_tried_again(failed, notes):
    """`failed`: how many pytest counts. All of them are noted and excusable, or none is tried again."""
    return failed == len(notes) and all(is_excusable(text) for _, text in notes)


def judged(suspects, passes_alone):
    """(unsteady, failed) of `suspects`. `passes_alone`: called for each of few, up to TRIES times."""
    if len(suspects) > AT_MOST:
        return [], list(suspects)
    unsteady = [suspect for suspect in suspects if all(passes_alone(suspect) for _ in range(TRIES))]
    return unsteady, [suspect for suspect in suspects if suspect not in unsteady]
