# SPDX-License-Identifier: BSD-3-Clause
"""terrace_get_or_load in a C program (loaders.c): exact counts of loads, which hang until the test says what they bring."""

import collections
import contextlib
import pathlib
import subprocess
import threading
import time

import pytest

from harness import SLACK_S, TERRACED, free_port, until

pytestmark = pytest.mark.own

PROGRAM = pathlib.Path(TERRACED).parent / "tests" / "journeys" / "loaders"  # of the mode of the node
PATIENCE_S = 20.0
PATIENCE_MS = int(PATIENCE_S * 1000)
CONFIG = """
[namespace pages]
prefix = m:
format = managed
soft-timeout = 50ms
hard-timeout = 15s
load-timeout = 30s
swr = 60s
sie = 0
[namespace errors]
prefix = e:
format = managed
soft-timeout = 20ms
hard-timeout = 15s
sie = 60s
"""
Got = collections.namedtuple("Got", "status reason near value")


class Loaders:
    """The program, and what it has said so far."""

    def __init__(self, nodes, options=""):
        addresses = ",".join(f"127.0.0.1:{node.port}" for node in nodes)
        tls = any(getattr(node, "tls", None) for node in nodes)
        url = f"{'terraces' if tls else 'terrace'}://{addresses}/0?timeout={PATIENCE_MS}ms"
        if tls:
            url += "&tls-verify=no"
        self.process = subprocess.Popen([str(PROGRAM), f"{url}&{options}".rstrip("&")], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True, bufsize=1)
        self._lines = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.append(line.rstrip("\n"))

    def _said(self, word):
        return [line.split(" ", 1)[1] for line in list(self._lines) if line.startswith(word + " ")]

    def order(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def want(self, count, key, timeout_ms=PATIENCE_MS, *words):
        self.order("want", count, key, timeout_ms, *words)

    @property
    def loads(self):
        """Keys, in the order in which loaders were called."""
        return [text.split()[0] for text in self._said("load")]

    @property
    def budgets_ms(self):
        return [int(text.split()[1]) for text in self._said("load")]

    @property
    def got(self):
        return [Got(*text.split(" ", 3)) for text in self._said("got")]

    def _until(self, condition, what):
        try:
            until(condition, PATIENCE_S, what)
        except AssertionError as late:
            raise AssertionError(f"{late}; it said {self._lines}") from None

    def wait_loads(self, count):
        self._until(lambda: len(self.loads) >= count, f"{count} loads have begun")

    def wait_got(self, count):
        self._until(lambda: len(self.got) >= count, f"{count} calls have ended")
        return self.got

    def counters(self):
        before = len(self._said("counters"))
        self.order("counters")
        until(lambda: len(self._said("counters")) > before, PATIENCE_S, "counters")
        return dict(zip(("loads", "shared", "stale", "near_hits"), map(int, self._said("counters")[-1].split())))

    def wait_followers(self, count):
        until(lambda: self.counters()["shared"] >= count, PATIENCE_S, f"{count} wait for a load here")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        try:
            assert self.process.wait(PATIENCE_S) in (0, -9)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self._reader.join()


@pytest.fixture(scope="module")
def nodes(module_stage, redis_server):
    path = module_stage.folder / "loaders.conf"
    path.write_text(CONFIG)
    three = [module_stage.node(str(path), "--threads", "2", l2=redis_server) for _ in range(3)]
    for node in three:
        node.wait_synced()
    return three


@pytest.fixture
def start():
    """Programs of this test, which end with it."""
    all_of_them = []

    def begin(nodes, options=""):
        all_of_them.append(Loaders(nodes, options))
        return all_of_them[-1]
    yield begin
    for program in all_of_them:
        if program.process.poll() is None:
            program.end()


def where(programs, key):
    """The one that loads it."""
    return next(program for program in programs if key in program.loads)


def begun(programs, key):
    return sum(program.loads.count(key) for program in programs)


# --- managed: one load in the cluster --------------------------------------------------------------------------------


def test_8_threads_of_3_processes_on_one_cold_key_are_one_load(nodes, start):
    programs = [start([node]) for node in nodes]
    for program in programs:
        program.want(8, "m:cold")
    until(lambda: begun(programs, "m:cold") == 1, PATIENCE_S, "one loads")
    loader = where(programs, "m:cold")
    loader.order("ok", "value")
    for program in programs:
        assert set(program.wait_got(8)) == {Got("OK", "NONE", "0", "value")}
    assert begun(programs, "m:cold") == 1
    assert sum(program.counters()["loads"] for program in programs) == 1


def test_the_loader_is_killed_and_there_are_two_loads(nodes, start):
    programs = [start([node]) for node in nodes]
    doomed = programs[0]
    doomed.want(8, "m:killed")
    doomed.wait_loads(1)
    for program in programs[1:]:
        program.want(8, "m:killed")
    began = time.monotonic()
    doomed.kill()
    until(lambda: begun(programs[1:], "m:killed") == 1, PATIENCE_S, "another one loads")
    assert time.monotonic() - began < 2.5 + SLACK_S, "the lease would run out after three seconds"
    where(programs[1:], "m:killed").order("ok", "second")
    for program in programs[1:]:
        assert {got.value for got in program.wait_got(8)} == {"second"}
    assert begun(programs, "m:killed") == 2


def test_what_is_stale_is_served_while_one_loads(nodes, start):
    programs = [start([node]) for node in nodes]
    first = programs[0]
    first.want(1, "m:swr")
    first.wait_loads(1)
    first.order("ok", "old", 50, 60000)
    first.wait_got(1)
    with nodes[0].wire() as conn:
        until(lambda: conn.ask("CACHE.FETCH", "m:swr", "NOLOAD")[0] == b"STALE", PATIENCE_S, "it is stale")
    first.want(1, "m:swr")
    first.wait_loads(2)
    for program in programs:
        before = len(program.got)
        program.want(8, "m:swr")
        assert set(program.wait_got(before + 8)[before:]) == {Got("STALE", "NONE", "0", "old")}
        assert program.counters()["stale"] == 8
    first.order("ok", "new", 60000)
    until(lambda: first.got[-1] == Got("OK", "NONE", "0", "new"), PATIENCE_S, "the loader has the new one")
    assert begun(programs, "m:swr") == 2


def test_what_is_spare_is_served_when_the_load_fails(nodes, start):
    program = start(nodes[:1])
    program.want(1, "e:sie")
    program.wait_loads(1)
    program.order("ok", "old", 50, 0, 60000)
    program.wait_got(1)
    with nodes[0].wire() as conn:
        until(lambda: conn.ask("CACHE.FETCH", "e:sie", "NOLOAD")[0] != b"HIT", PATIENCE_S, "its fresh life is over")
    program.want(1, "e:sie")
    program.wait_loads(2)
    program.order("fail")
    assert program.wait_got(2)[1] == Got("STALE", "NONE", "0", "old")
    assert program.counters()["stale"] == 1


def test_a_failure_is_told_to_all_who_waited_here(nodes, start):
    program = start(nodes[:1])
    program.want(1, "m:broken")
    program.wait_loads(1)
    program.want(7, "m:broken")
    program.wait_followers(7)
    program.order("fail")
    assert {got.status for got in program.wait_got(8)} == {"UNREACHABLE"}, "what the loader said"
    assert program.loads == ["m:broken"]


def test_what_was_loaded_before_an_invalidation_is_for_its_caller_only(nodes, start):
    program = start(nodes[:1])
    program.want(1, "m:lost")
    program.wait_loads(1)
    program.want(3, "m:lost")
    program.wait_followers(3)
    with nodes[1].wire() as conn:
        conn.ask("CACHE.INVALIDATE", "KEY", "m:lost", "SYNC", "5000")
    program.order("ok", "late")
    assert program.wait_got(1)[0] == Got("OK", "NONE", "0", "late")
    program.wait_loads(2)  # by one of those who waited
    program.order("ok", "fresh")
    assert [got.value for got in program.wait_got(4)[1:]] == ["fresh"] * 3
    assert program.loads == ["m:lost"] * 2


def test_that_there_is_nothing_is_remembered_by_all(nodes, start):
    programs = [start([node]) for node in nodes]
    programs[0].want(1, "m:nothing")
    programs[0].wait_loads(1)
    programs[0].order("miss", 60000)
    assert programs[0].wait_got(1)[0].status == "NEGATIVE"
    programs[1].want(8, "m:nothing")
    assert {got.status for got in programs[1].wait_got(8)} == {"NEGATIVE"}
    assert begun(programs, "m:nothing") == 1


def test_a_loader_that_throws_its_value_away_has_failed_and_the_next_may_load(nodes, start):
    program = start(nodes[:1])
    program.want(1, "m:thrown")
    program.wait_loads(1)
    program.order("nothing")
    assert program.wait_got(1)[0].status == "REFUSED"
    with nodes[0].wire() as conn:
        until(lambda: conn.ask("CACHE.FETCH", "m:thrown", "NOLOAD")[0] == b"MISS", PATIENCE_S, "nobody loads it")
    program.want(1, "m:thrown")
    program.wait_loads(2)
    program.order("ok", "value")
    assert program.wait_got(2)[1].value == "value"


def test_who_waits_gives_up_at_his_own_deadline(nodes, start):
    """The one that loads, and those of another process and of the same."""
    programs = [start([node]) for node in nodes[:2]]
    programs[0].want(1, "m:slow")
    programs[0].wait_loads(1)
    assert PATIENCE_MS - 5000 < programs[0].budgets_ms[0] <= PATIENCE_MS
    for program in programs:
        began = time.monotonic()
        program.want(3, "m:slow", 300)
        assert {got.status for got in program.wait_got(3)} == {"MISS"}
        assert {got.reason for got in program.got} == {"DEADLINE"}
        assert 0.299 <= time.monotonic() - began < 0.6 + SLACK_S  # clocks count whole milliseconds
    programs[0].order("ok", "value")
    assert programs[0].wait_got(4)[3].value == "value"


# --- plain: one load in the process ----------------------------------------------------------------------------------


def test_a_plain_key_is_loaded_once_by_a_process_and_kept(nodes, start):
    program = start(nodes[:1])
    program.want(16, "p:cold")
    program.wait_loads(1)
    program.order("ok", "value", 60000)
    assert {got.value for got in program.wait_got(16)} == {"value"}
    program.want(8, "p:cold")
    assert {got.value for got in program.wait_got(24)} == {"value"}
    assert program.loads == ["p:cold"]
    with nodes[1].wire() as conn:
        assert conn.ask("GET", "p:cold") == b"value"
        assert 0 < conn.ask("PTTL", "p:cold") <= 60000


def test_what_somebody_wrote_meanwhile_is_not_overwritten(nodes, start):
    program = start(nodes[:1])
    program.want(1, "p:raced")
    program.wait_loads(1)
    with nodes[1].wire() as conn:
        conn.ask("SET", "p:raced", "newer")
        program.order("ok", "older")
        assert program.wait_got(1)[0].value == "older"
        assert conn.ask("GET", "p:raced") == b"newer"


# --- L0, and no cache at all -----------------------------------------------------------------------------------------


def test_hits_near_by_load_nothing_and_wait_for_nobody(nodes, start):
    program = start(nodes[:1], "near-memory=1mb")
    program.want(1, "m:near")
    program.wait_loads(1)
    program.order("ok", "value", 600000)
    program.wait_got(1)

    def is_near():
        before = len(program.got)
        program.want(1, "m:near")
        return program.wait_got(before + 1)[-1].near == "1"
    until(is_near, PATIENCE_S, "it is in L0")
    before, count = program.counters()["near_hits"], len(program.got)
    program.want(50, "m:near")
    assert {got.value for got in program.wait_got(count + 50)} == {"value"}
    assert program.counters()["near_hits"] > before, "its fence may close for a moment on a busy machine"
    assert program.loads == ["m:near"]


class Nobody:
    def __init__(self):
        self.port = free_port()


def test_without_a_cache_there_is_one_load_at_a_time_all_the_same(start):
    program = start([Nobody()])
    program.want(1, "m:alone")
    program.wait_loads(1)
    program.want(7, "m:alone")
    program.wait_followers(7)
    program.order("ok", "value")
    assert {got.value for got in program.wait_got(8)} == {"value"}
    assert program.loads == ["m:alone"]
    assert program.counters() == {"loads": 1, "shared": 7, "stale": 0, "near_hits": 0}


def test_who_says_closed_is_told_the_error_and_nothing_is_loaded(start):
    program = start([Nobody()], "fail=closed")
    program.want(1, "m:closed")
    assert program.wait_got(1)[0].status == "UNREACHABLE"
    assert program.loads == []


def test_closing_waits_for_loaders_and_ends_those_who_wait(nodes, start):
    program = start(nodes[:1])
    program.want(1, "m:closing")
    program.wait_loads(1)
    program.want(3, "m:closing")
    program.wait_followers(3)
    program.order("ok", "value")
    program.want(1, "m:other")
    program.wait_loads(2)
    program.order("ok", "value")
    program.order("close")
    program.wait_got(5)
    assert program.process.wait(PATIENCE_S) == 0
