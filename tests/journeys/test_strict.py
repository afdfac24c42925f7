# SPDX-License-Identifier: BSD-3-Clause
"""strict when nodes come and go: a node that ends in order says goodbye, when it serves nobody any more and not before.
When L2 comes and goes: tests/soak/test_registers.py."""
import signal
import threading
import time

import pytest

import wire
from harness import ask_timed, until
from test_modes import stand_still, strict_nodes

pytestmark = pytest.mark.own

T_S = 1
MODE = "mode = strict 1s\n"


def quick(conn):
    """Writes until the node knows all others: one that has just come does not."""
    until(lambda: ask_timed(conn, "SET", "k", "v")[1] < T_S / 10, 10, "a live node says at once that it is so far")


def test_writes_go_on_while_another_node_restarts_in_order(stage):
    redis_server = stage.redis()
    nodes = strict_nodes(stage, redis_server, 2, MODE)
    times, stop = [], threading.Event()

    def write(conn):
        while not stop.is_set():
            reply, took_s = ask_timed(conn, "SET", "k", "v")
            assert reply == b"OK"
            times.append(took_s)
    with nodes[0].wire() as conn:
        quick(conn)
        writer = threading.Thread(target=write, args=(conn,))
        writer.start()
        try:
            for _ in range(3):
                nodes[1].process.signal(signal.SIGTERM)
                assert nodes[1].process.wait() == 0
                assert nodes[1].start()
        finally:
            stop.set()
            writer.join()
    times.sort()
    p99 = times[len(times) * 99 // 100]
    print(f"{len(times)} writes through 3 restarts: p99 {p99 * 1e3:.1f} ms, max {times[-1] * 1e3:.1f} ms, T {T_S * 1e3} ms")
    assert len(times) > 100 and p99 < T_S / 10 and times[-1] < T_S * 0.7


def test_a_node_that_drains_still_serves_and_is_waited_for(stage):
    """The goodbye comes after the last client has gone: until then the node may show what it has in L1."""
    redis_server = stage.redis()
    nodes = strict_nodes(stage, redis_server, 2, MODE)
    with nodes[0].wire() as a, nodes[1].wire() as b:
        quick(a)
        assert b.ask("GET", "k") == b"v"
        request = wire.encode(["GET", "k"])
        b.send(request[:-3])  # a client that is not idle
        nodes[1].process.signal(signal.SIGTERM)
        until(lambda: nodes[1].admin("/readyz")[0] != 200, 2, "it drains")
        stand_still(nodes[1].process)
        began = time.monotonic()
        assert a.ask("SET", "k", "w") == b"OK"
        assert time.monotonic() - began > T_S / 2, "it is live, and waited for until it is fenced"
        stand_still(nodes[1].process, False)
        b.send(request[-3:])
        assert b.read() == b"w"
