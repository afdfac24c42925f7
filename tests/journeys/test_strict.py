# SPDX-License-Identifier: BSD-3-Clause
"""strict when nodes come and go: a node that ends in order says goodbye, when it serves nobody any more and not before.
And when L2 does, without losing what it acknowledged: recorded loads, judged as linearizable registers."""
import contextlib
import signal
import threading
import time

import pytest

import wire
from harness import ask_timed, until
from history_run import finish_load, judge, start_load, wait_begun
from test_endpoints import address, endpoint, replica_of
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


# --- L2 comes and goes -----------------------------------------------------------------------------------------------------

DURABLE = ["--appendonly", "yes", "--appendfsync", "always"]
LONG_S = 1000


@contextlib.contextmanager
def judged_load(stage, nodes):
    """The load that the block's trouble happens to; afterwards it must have seen one register per key."""
    path = stage.folder / "strict.hist"
    load = start_load(stage, path, nodes, None, LONG_S, "--keys", 40, "--zipf", "0.9", "--connections", 4, "--pipeline", 1,
                      "--writes", 100, "--timeout", 10, "--bound-ms", 200, "--seed", 7)
    wait_begun(path)
    yield
    load.signal(signal.SIGINT)
    counts = finish_load(load)
    verdict = judge(path, flags=["--strict"])
    assert verdict.code == 0, verdict.story()
    found = verdict.found
    print(f"{found['reads']} reads, {found['writes']} writes, refused {counts['reads_refused'] + counts['writes_refused']}, "
          f"unknown {counts['writes_unknown']}")
    assert found["reads"] > 1000 and found["writes"] > 50 and not counts["strange"], counts


def serve(nodes):
    """All nodes confirm again, and the load goes on."""
    for node in nodes:
        with node.wire() as conn:
            until(lambda: conn.ask("SET", "probe", "v") == b"OK", 20, "strict writes are acknowledged")
        served = int(node.info("stats")["total_commands_processed"])
        until(lambda: int(node.info("stats")["total_commands_processed"]) > served + 1000, 30, "reads and writes of the load",
              every_s=0.05)


def test_a_strict_load_while_the_mastership_moves(stage):
    """FAILOVER of Redis: the old master takes no writes until the new one has them all, so nothing acknowledged is lost."""
    first, second = stage.redis(*DURABLE), stage.redis(*DURABLE)
    replica_of(second, first)
    config = stage.folder / "strict.conf"
    config.write_text("mode = strict 200ms\n")
    nodes = [stage.node(str(config), l2=f"{first.url},{second.url}") for _ in range(2)]
    with judged_load(stage, nodes):
        for master, replica in ((first, second), (second, first)):
            master.client().execute_command("FAILOVER", "TO", "127.0.0.1", replica.port)
            for node in nodes:
                until(lambda: endpoint(node) == address(replica), 20, "the nodes follow")
            serve(nodes)


def test_a_strict_load_while_redis_is_killed_and_comes_back(stage):
    redis_server = stage.redis(*DURABLE)
    nodes = strict_nodes(stage, redis_server, 2)
    with judged_load(stage, nodes):
        for _ in range(2):
            redis_server.process.kill()
            assert redis_server.start()
            serve(nodes)
