# SPDX-License-Identifier: BSD-3-Clause
"""strict when nodes come and go: a node that ends in order says goodbye, when it serves nobody any more and not before.
And a write whose answer is lost, together with what would have told the other node of it. Loads while L2 comes and goes:
tests/soak/test_registers.py."""
import contextlib
import signal
import threading
import time

import pytest

import history_file
import wire
from harness import SLACK_S, ask_timed, serves_hits, stand_still, until
from history_run import judge
from proxy import FaultProxy
from test_modes import strict_nodes

pytestmark = pytest.mark.own

T_S = 1
MODE = "mode = strict 1s\n"


def quick(conn, bound_s=T_S):
    """Writes until the node knows all others: one that has just come does not."""
    until(lambda: ask_timed(conn, "SET", "k", "v")[1] < bound_s / 10, 10 + 2 * bound_s, "a live node says at once that it is so far")


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
        until(lambda: "draining" in nodes[1].admin("/readyz")[1], 10, "it drains")
        stand_still(nodes[1].process)
        began = time.monotonic()
        assert a.ask("SET", "k", "w") == b"OK"
        assert time.monotonic() - began > T_S / 2, "it is live, and waited for until it is fenced"
        stand_still(nodes[1].process, False)
        b.send(request[-3:])
        assert b.read() == b"w"


# --- a write of unknown outcome ------------------------------------------------------------------------------------------

DURABLE = ["--appendonly", "yes", "--appendfsync", "always"]


class Register:
    """One key, and what clients of two nodes saw of it."""

    def __init__(self, path, bound_s):
        self.path, self.bound_ns, self.records = path, bound_s * 10**9, []

    def begin(self, number):
        self.records.append({"kind": history_file.SET, "invoked_ns": history_file.now_ns(), "value": 1 << 40 | number})

    def end(self, number, reply):
        done = history_file.OK if reply == b"OK" else history_file.LOST
        if reply.startswith(b"UNKNOWN") and b"may still run" not in reply:
            done = history_file.UNKNOWN
        began = next(r for r in self.records if r["value"] == 1 << 40 | number)
        self.records.append({**began, "kind": history_file.END, "what": done, "completed_ns": history_file.now_ns()})
        return reply

    def set(self, conn, number):
        self.begin(number)
        return self.end(number, conn.ask("SET", "k", str(number)))

    def get(self, conn, node):
        """The reply; an error is nobody's read."""
        asked_ns = history_file.now_ns()
        reply = conn.ask("GET", "k")
        if not isinstance(reply, wire.Error):
            self.records.append({"kind": history_file.READ, "invoked_ns": asked_ns, "completed_ns": history_file.now_ns(),
                                 "value": 1 << 40 | int(reply), "node": node, "session": node})
        return reply

    def verdict(self):
        nodes = [(self.bound_ns, "a"), (self.bound_ns, "b")]
        header = {"bound_ns": self.bound_ns, "slack_ns": 3_000_000, "keys": 1, "nodes": nodes, "prefix": ""}
        history_file.write(self.path, header, self.records)
        return judge(self.path, flags=["--strict"])


# T is time enough for a restart on a busy machine.
@pytest.mark.parametrize("trouble, bound_s", [("the connection breaks", 2), ("redis is killed", 5)])
def test_who_is_told_unknown_looks_and_nobody_sees_what_was_before(stage, trouble, bound_s):
    """Redis runs a write; its answer is lost, and so is its announcement to another node, which has the old value in L1 and
    hears nothing until its fence closes. The write cannot run any more long before: who is told so may look at once."""
    redis_server = stage.redis(*DURABLE)
    with contextlib.ExitStack() as stack:
        ways = [stack.enter_context(FaultProxy(("127.0.0.1", redis_server.port))) for _ in range(2)]
        config = stage.folder / "strict.conf"
        config.write_text(f"mode = strict {bound_s}s\n")
        writer, holder = [stage.node(str(config), "--l2-timeout", f"{bound_s}s", l2=way.url) for way in ways]
        a, b = stack.enter_context(writer.wire()), stack.enter_context(holder.wire())
        look = stack.enter_context(writer.wire())
        seen = Register(stage.folder / "unknown.hist", bound_s)
        quick(a, bound_s)
        assert seen.set(a, 1) == b"OK"
        until(lambda: serves_hits(holder, b, "k"), 5, "the old value is in L1")
        assert seen.get(b, 1) == b"1"
        for way in ways:
            way.black_hole("down")
        seen.begin(2)
        a.send(wire.encode(["SET", "k", "2"]))
        until(lambda: redis_server.client().get("k") == b"2", 5, "the write has run")
        if trouble == "redis is killed":
            redis_server.process.kill()
            assert redis_server.start()
        assert seen.get(b, 1) == b"1", "the holder serves what it has: it knows of nothing yet"
        replies = []
        told = threading.Thread(target=lambda: replies.append(seen.end(2, a.read())))
        began = time.monotonic()
        told.start()
        ways[0].heal()  # resets what lost bytes
        while told.is_alive():
            seen.get(b, 1)
        told.join()
        assert time.monotonic() - began < 2 * bound_s + SLACK_S
        seen.get(b, 1)
        assert until(lambda: seen.get(look, 0) == b"2", 5), "who was told looks"
        assert replies == [b"UNKNOWN the write may or may not have run; it cannot run any more"]
        verdict = seen.verdict()
        assert verdict.code == 0, verdict.story()
