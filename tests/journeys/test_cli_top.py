# SPDX-License-Identifier: BSD-3-Clause
"""`terrace top`: on a terminal it draws, obeys keys and leaves no trace; in a pipe it prints; what it counts is what was done.
(What a screen says of two looks is tests/unit/test_cli_screen.c.)"""

import json
import os
import re
import signal
import subprocess
import termios
import threading

import pytest

from cli import TERRACE, Terminal, address, ask, environment
from harness import free_port, stand_still, until
from libterrace import Client

pytestmark = pytest.mark.own

ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"
FRAME = b"\x1b[H"


class Load:
    """Reads of one key over and over, so that there is something to see; counts them."""

    def __init__(self, node):
        self.node, self.count, self.stop = node, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        with self.node.wire() as conn:
            while not self.stop.is_set():
                self.count += len(conn.pipeline([["GET", "hot"]] * 20))

    def __enter__(self):
        self.node.client().set("hot", "x")
        self.thread.start()
        return self

    def __exit__(self, *exc_info):
        self.stop.set()
        self.thread.join()


@pytest.fixture(scope="module")
def nodes(two_nodes):
    until(lambda: all(int(node.info()["coherence_nodes"]) == 2 for node in two_nodes), 5, "they hear each other")
    return two_nodes


def top(nodes, *words, **options):
    return Terminal("--node", ",".join(address(node) for node in nodes), "top", "-i", "100ms", *words, **options)


def frame_has(*parts):
    """The last whole frame has all of these."""
    def condition(shown):
        frames = shown.split(FRAME)
        last = frames[-2] if len(frames) > 2 else b""
        return all(part in last for part in parts)
    return condition


# --- on a terminal ----------------------------------------------------------------------------------------------------

def test_the_terminal_is_as_it_was_when_q_is_pressed(nodes):
    with Load(nodes[0]), top(nodes) as terminal:
        before = terminal.settings()
        shown = terminal.read_until(frame_has(address(nodes[0]).encode(), address(nodes[1]).encode(), b"2 of 2 nodes"))
        assert shown.startswith(ENTER) and not terminal.settings() & (termios.ICANON | termios.ECHO)
        terminal.read_until(lambda shown: re.search(rb"L1  in the nodes +\S*m[1-9]", shown), what="hits are counted")
        terminal.type(b"q")
        assert terminal.wait() == 0
        assert terminal.shown.rstrip().endswith(LEAVE) and b"\x1b[?25h" in terminal.shown[-40:]
        assert terminal.settings() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_as_it_was_after_a_signal(nodes, number):
    with top(nodes) as terminal:
        before = terminal.settings()
        terminal.read_until(frame_has(b"2 of 2 nodes"))
        os.kill(terminal.pid, number)
        assert terminal.wait() == 0
        assert LEAVE in terminal.shown and terminal.settings() == before


def test_ctrl_c_and_ctrl_z_are_keys_as_well(nodes):
    """A stopped program would leave its screen behind, so it does not stop."""
    with top(nodes) as terminal:
        terminal.read_until(frame_has(b"2 of 2 nodes"))
        terminal.type(b"\x1a")
        terminal.read_until(frame_has(b"2 of 2 nodes"))
        terminal.type(b"\x03")
        assert terminal.wait() == 0 and LEAVE in terminal.shown


def test_space_holds_the_screen_and_s_sorts(nodes):
    with top(nodes) as terminal:
        terminal.read_until(frame_has(b"by ops"))
        terminal.type(b"s")
        terminal.read_until(frame_has(b"by hits"))
        terminal.type(b" ")
        terminal.read_until(lambda shown: b"HELD" in shown)
        terminal.type(b"ss")  # one key a frame would do as well: held, it draws for keys only
        terminal.read_until(lambda shown: b"by name" in shown)
        terminal.type(b" ")
        terminal.read_until(lambda shown: FRAME in shown and b"HELD" not in shown.split(FRAME)[-1] and b"by name" in shown)
        terminal.type(b"+")
        terminal.read_until(lambda shown: b"every 200ms" in shown)
        terminal.type(b"-q")
        assert terminal.wait() == 0


def test_another_size_is_drawn_at_once(nodes):
    """Nothing is wider than the terminal, nothing scrolls it."""
    with top(nodes, rows=40, columns=120) as terminal:
        terminal.read_until(frame_has(b"NAMESPACES", b"lru"))
        terminal.resize(8, 40)

        def fits(shown):
            frames = shown.split(FRAME)
            if len(frames) < 3:
                return False
            lines = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", frames[-2]).replace(b"\r", b"").split(b"\n")
            return len(lines) <= 8 and all(len(line.decode()) <= 40 for line in lines)
        terminal.read_until(fits, what="it fits")
        terminal.type(b"q")
        assert terminal.wait() == 0


def test_a_node_that_goes_is_shown_as_unreachable_and_comes_back(stage):
    node = stage.node()
    other = stage.node()
    with top([node, other]) as terminal:
        terminal.read_until(frame_has(b"2 of 2 nodes"))
        other.process.kill()
        terminal.read_until(frame_has(b"1 of 2 nodes", b"UNREACHABLE", b"ALONE"))
        assert other.start()
        terminal.read_until(frame_has(b"2 of 2 nodes"))
        terminal.type(b"q")
        assert terminal.wait() == 0


def test_keys_are_heard_while_a_node_hangs(stage):
    """Each look takes longer then than the pause between two."""
    node = stage.node()
    with top([node], "--timeout", "500ms") as terminal:
        terminal.read_until(lambda shown: FRAME in shown, what="a screen")
        stand_still(node.process)
        try:
            terminal.read_until(lambda shown: shown.count(FRAME) >= 3, what="screens without it")
            terminal.type(b"q")
            assert terminal.wait() == 0
        finally:
            stand_still(node.process, False)


def test_no_colours_if_the_environment_says_so(nodes):
    with top(nodes, env={"NO_COLOR": "1"}) as terminal:
        terminal.read_until(frame_has(b"2 of 2 nodes"))
        terminal.type(b"q")
        assert terminal.wait() == 0 and b"\x1b[1m" not in terminal.shown


# --- in a pipe --------------------------------------------------------------------------------------------------------

def test_once_prints_one_screen_and_ends(nodes):
    done = ask(nodes, "top", "--once", "-i", "100ms")
    assert done.code == 0 and b"\x1b" not in done.out
    assert done.text.startswith("terrace top   2 of 2 nodes") and done.text.count("NAMESPACES") == 1


def test_rates_are_what_was_done(nodes):
    """The sum over all looks is the number of reads between the first and the last, about."""
    with Load(nodes[0]) as load:
        before = load.count
        done = ask(nodes, "top", "--json", "--count", "5", "-i", "200ms")
        after = load.count
    assert done.code == 0
    looks = [json.loads(line) for line in done.out.splitlines()]
    assert len(looks) == 5
    hits = [now["per_second"]["l1_hits"] * (now["time"] - old["time"]) for old, now in zip(looks, looks[1:])]
    assert sum(hits) > 0 and sum(hits) < 1.2 * (after - before), "no more than was done in all"
    first = looks[-1]["nodes"][0]
    assert first["address"] == address(nodes[0]) and first["state"] == "SYNCED" and first["per_second"]["reads"]["calls"] > 0
    assert first["per_second"]["reads"]["p50_us"] <= first["per_second"]["reads"]["p99_us"]
    assert {one["address"] for one in first["nodes"]} == {address(node) for node in nodes}
    assert looks[-1]["namespaces"][0]["name"] == "default" and looks[-1]["namespaces"][0]["ops"] > 0


def test_the_hottest_keys_are_shown(nodes):
    def hottest():
        rows = ask(nodes, "top", "--once", "-i", "100ms", "--json").object["hot"]
        return rows and rows[0]["key"] == "hot" and rows[0]["per_second"] > 0
    with Load(nodes[0]):
        until(hottest, 20, "the key that is read most is first")
        assert re.search(r"^HOT KEYS +READS/S\n hot +\S+\n", ask(nodes, "top", "--once", "-i", "100ms").text, re.M)


def test_what_clients_answer_themselves_is_the_flow_of_l0(nodes):
    """They tell with their beats; the screen has the share of each tier."""
    nodes[0].client().set("near", "x")
    with Client(f"endpoints={address(nodes[0])}", "near-memory=1mb", "timeout=5s") as client:
        until(lambda: client.get("near").from_near, 10, "it is kept near")
        stop = threading.Event()

        def read():
            while not stop.is_set():
                client.get("near")
        reader = threading.Thread(target=read)
        reader.start()
        try:
            def look():
                done = ask(nodes[0], "top", "--json", "--count", "1", "-i", "500ms")
                one = done.object
                return one if one["per_second"]["l0_hits"] > 100 else None
            seen = until(look, 30, "the node has been told")
            until(lambda: re.search(r"L0  in the clients +\S+ +(9\d|100)", ask(nodes[0], "top", "--once", "-i", "500ms").text), 30,
                  "nearly all are answered there")
        finally:
            stop.set()
            reader.join()
    assert seen["nodes"][0]["tracking_clients"] >= 1


def test_nobody_there_is_told_in_the_object_and_the_exit_code():
    where = f"127.0.0.1:{free_port()}"
    done = subprocess.run([TERRACE, "--node", where, "top", "--json", "--count", "1", "-i", "100ms"], capture_output=True,
                          timeout=30, check=False, env=environment())
    look = json.loads(done.stdout)
    assert done.returncode == 3 and look["nodes"][0]["reachable"] is False and "refused" in look["nodes"][0]["error"]


def test_a_user_without_the_rights_is_told_so(stage):
    node = stage.node()
    node.client().execute_command("ACL", "SETUSER", "guest", "on", ">pass", "+@connection")
    done = ask(node, "--user", "guest", "top", "--once", "-i", "100ms", env={"TERRACE_PASSWORD": "pass"})
    assert "REFUSED" in done.text and "NOPERM" in done.text
