# SPDX-License-Identifier: BSD-3-Clause
"""Eight threads on one client of libterrace, all operations, while its nodes are killed and started again
(tests/clients/terrace_threads.c says what a thread may find). Under the sanitizers the program is instrumented as the node is."""

import os
import pathlib
import re
import subprocess

import pytest
from harness import TERRACED, until
from libterrace import Client

pytestmark = pytest.mark.own

PROGRAM = pathlib.Path(TERRACED).resolve().parent / "tests" / "clients" / "terrace_threads"
ROUNDS = 1 if os.environ.get("JOURNEY_SANITIZED") else 3


class Threads:
    """The program at work."""

    def __init__(self, mode, *options):
        self.popen = subprocess.Popen([PROGRAM, "&".join(options), "8", mode], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def end(self):
        """{status: how often}"""
        output = self.popen.communicate(b"\n", timeout=60)[0].decode()
        assert self.popen.returncode == 0, output
        return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", output)}


def asked(node):
    """How many native requests the node has answered since it was started."""
    return int(node.info().get("total_commands_processed", 0))


def kill_in_turn(threads, nodes):
    try:
        for _ in range(ROUNDS):
            for node in nodes:
                before = asked(node)
                until(lambda: asked(node) > before + 500, 60, "it is asked")  # pylint: disable=cell-var-from-loop
                node.process.kill()
                assert node.start()
    finally:
        statuses = threads.end()
    assert statuses["OK"] > 50 and statuses["WRONG"] == 0
    assert statuses["BAD_ARGUMENT"] == statuses["NO_MEMORY"] == statuses["CLOSED"] == statuses["DENIED"] == 0


L0 = pytest.mark.parametrize("near", ["near-memory=0", "near-memory=1mb"], ids=["without_l0", "with_l0"])


@L0
def test_a_thread_finds_what_it_wrote_last_or_nothing_while_the_node_is_killed(stage, near):
    node = stage.node()
    kill_in_turn(Threads("exact", f"endpoints=127.0.0.1:{node.port}", "timeout=5s", near), [node])


@L0
def test_a_thread_finds_what_it_once_wrote_while_two_nodes_are_killed_in_turn(stage, near):
    redis = stage.redis()
    nodes = [stage.node(l2=redis) for _ in range(2)]
    endpoints = "endpoints=" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    kill_in_turn(Threads("own", endpoints, "strategy=round-robin", "timeout=5s", "connections=2", near), nodes)


def test_the_program_sees_a_value_that_it_did_not_write(stage):
    """The test of the test."""
    node = stage.node()
    threads = Threads("exact", f"endpoints=127.0.0.1:{node.port}", "timeout=5s")
    with Client(f"endpoints=127.0.0.1:{node.port}", "timeout=5s") as client:
        def meddle():
            for k in range(32):
                client.set(f"t1:{k}:0", "forged")
            return threads.popen.poll() is not None or asked(node) > 20_000
        until(meddle, 60, "somebody has read it")
    output = threads.popen.communicate(b"\n", timeout=60)[0].decode()
    assert threads.popen.returncode == 1 and "forged" in output


def test_no_descriptor_of_the_library_reaches_a_child(stage):
    node = stage.node()
    with Client(f"endpoints=127.0.0.1:{node.port}", "timeout=5s") as client:
        assert client.ping()[0] == "OK"
        mine = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")}
        assert any(name.startswith("socket:") for name in mine)
        seen = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, check=True, close_fds=False).stdout
        assert "socket:" not in seen and "eventpoll" not in seen and "eventfd" not in seen
