# SPDX-License-Identifier: BSD-3-Clause
"""Who may be tried again (tests/unsteady.py), and who may not; and that no report of a process is lost."""

import importlib.util

import pytest

from harness import ROOT, Stage

_SPEC = importlib.util.spec_from_file_location("unsteady", ROOT / "tests" / "unsteady.py")
unsteady = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(unsteady)

LATE = "E       AssertionError: not within 5.0 s: it is kept\n--- log of node1 (pid 12, exit None) ---\nevent=started"
KILLED = LATE + "\n--- log of node2 (pid 13, exit -9) ---\n"


@pytest.mark.parametrize("text", [
    LATE, KILLED, "E   TimeoutError: timed out", "E           redis.exceptions.TimeoutError: Timeout reading from socket",
    "E   subprocess.TimeoutExpired: Command '['x']' timed out after 60 seconds", ">       assert took_s < 0.3 + SLACK_S\nE       assert 2.1 < 1.3",
])
def test_who_was_late_may_be_tried_again(text):
    assert unsteady.is_excusable(text)


@pytest.mark.parametrize("text", [
    "E       AssertionError: assert b'old' == b'new'", "E       assert 3 == 4\n        # timeout=20, SLACK_S, not within 5 s",
    "    sock = connect(timeout=20)\n>   assert sock.recv(1) == b'x'\nE   AssertionError: assert b'' == b'x'",
    "E       AssertionError: assert {'a': 'timed out'} == {'a': 'v'}", "E   KeyError: 'state'\n--- log of node1 (pid 12, exit None) ---\nevent=l2_down msg=\"timed out\"", "",
])
def test_a_wrong_answer_is_not_tried_again_however_busy_the_machine_was(text):
    assert not unsteady.is_excusable(text)


@pytest.mark.parametrize("text", [
    "==1==ERROR: AddressSanitizer: heap-use-after-free", "WARNING: ThreadSanitizer: data race", "x.c:3:1: runtime error: shift",
    "terrace: CHECK failed: a == b (x.c:3)", "worker 'gw0' crashed while running 'test_x'", "assert verdict.code == 0, verdict.story()",
    "2 violations", "log of node2 (pid 13, exit -6) ---", "log of node2 (pid 13, exit 1) ---",
    "assert -11 == 0", "assert (-6, '') == (0, '')", "where -11 = CompletedProcess(args=['x'], returncode=-11, stdout=b'')",
    "<Popen: returncode: -11 args: ['x']>", "terrace get k: exit -11",
])
def test_what_no_busy_machine_does_excuses_nobody(text):
    assert not unsteady.is_excusable(LATE + "\n" + text)


def test_what_nobody_noted_is_not_excused():
    notes = [("test_a", LATE), ("test_b", LATE)]
    assert unsteady.may_be_tried_again(2, notes)
    assert not unsteady.may_be_tried_again(3, notes)
    assert not unsteady.may_be_tried_again(2, [notes[0], ("test_b", LATE + "Sanitizer")])
    assert not unsteady.may_be_tried_again(2, [notes[0], ("test_b", "E   assert 1 == 2")])


@pytest.mark.parametrize("says, is_broken", [
    ("echo 'x.c:3:1: runtime error: shift' >&2", True), ("echo '==1==ERROR: LeakSanitizer: detected memory leaks'; exit 23", True),
    ("kill -SEGV $$", True), ("exec sleep 60", False), ("echo 'error: no such file'; exit 1", False),
])
def test_a_process_that_says_at_its_end_that_it_is_broken_fails_its_test(tmp_path, says, is_broken):
    stage = Stage(tmp_path)
    process = stage.run("one", ["/bin/sh", "-c", says])
    if "sleep" not in says:
        process.wait()
    if not is_broken:
        stage.end()
        return
    with pytest.raises(AssertionError) as raised:
        stage.end()
    assert not unsteady.is_excusable(f"{LATE}\n{raised.value}"), "and it is not tried again"


def test_alone_it_must_pass_every_time():
    tries = {"steady now": [True] * 3, "falls once": [True, True, False], "falls": [False]}
    assert unsteady.judged(list(tries), lambda name: tries[name].pop(0)) == (["steady now"], ["falls once", "falls"])
    assert tries == {"steady now": [], "falls once": [], "falls": []}


def test_many_are_not_tried():
    five = list("abcde")
    assert unsteady.judged(five, lambda name: pytest.fail(f"{name} is tried")) == ([], five)


def test_what_fails_is_noted(tmp_path, monkeypatch):
    class Report:
        failed, nodeid, longreprtext, sections = True, "test_x.py::test_y", "late", [("logs", "event=started")]
    notes = tmp_path / "notes"
    monkeypatch.setenv("UNSTEADY_NOTES", str(notes))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    unsteady.pytest_runtest_logreport(Report)
    assert unsteady.noted(notes) == [("test_x.py::test_y", "late\n--- logs ---\nevent=started")]
    assert unsteady.noted(tmp_path / "none") == []
