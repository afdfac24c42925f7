# SPDX-License-Identifier: BSD-3-Clause
"""Answers that are here and may not be given out yet are memory of the node's. A client that pipelines large reads behind
something that waits makes it hold LIMIT_OUTPUT_PAUSE and what was under way, not all that it asked for; whatever it does,
not more than LIMIT_OUTPUT_CLOSE. And everything comes in the end."""

import os
import signal
import time

import pytest

import wire
from harness import SLACK_S, serves_hits, stand_still, until, vm_rss_bytes
from proxy import FaultProxy

pytestmark = pytest.mark.own
MB = 1 << 20
VALUE = b"v" * MB
READ = wire.encode(["HGET", "h", "large"])
SCRIPT = wire.encode(["EVAL", "return 'ran'", "0"])
COUNT = 150
# Hundreds of megabytes on a busy machine.
PATIENCE_S = 60
PAUSE, CLOSE = 64 * MB, 256 * MB
# One answer in the buffer of the link, spare chunks, and what the allocator keeps.
SLACK = 24 * MB


class Watch:
    """The most memory that a node took beyond what it has now."""

    def __init__(self, node):
        self.pid, self.before, self.peak = node.pid, vm_rss_bytes(node.pid), 0

    def look(self):
        self.peak = max(self.peak, vm_rss_bytes(self.pid) - self.before)
        return self.peak

    def for_seconds(self, seconds):
        """Time is the subject: nothing more comes."""
        ends_at = time.monotonic() + seconds
        while time.monotonic() < ends_at:
            self.look()
            time.sleep(0.01)
        return self.peak


def held_bytes(node, client_id):
    lines = {line["id"]: line for line in node.client().client_list()}
    return int(lines.get(str(client_id), {}).get("omem", 0))


def counted(node, name):
    line = next(line for line in node.admin("/metrics")[1].splitlines() if line.startswith(name))
    return int(float(line.split()[-1]))


def read_values(conn, count, watch):
    for i in range(count):
        assert conn.read() == VALUE, f"value {i} of {count}"
        if i % 10 == 0:
            watch.look()


@pytest.fixture
def frozen_bus(stage):
    """(proxy, node): a hash with a large field; what the bus brings can be frozen for ten seconds."""
    with FaultProxy(("127.0.0.1", stage.redis().port)) as proxy:
        # A quarter of its memory is more than one client may hold: test_large_values.py has less.
        node = stage.node("--threads", "1", "--l2-timeout", "60s", "--mode", "bounded 60s", "--memory", "512mb", l2=proxy.url)
        with node.wire(timeout_s=PATIENCE_S) as conn:
            assert conn.ask("HSET", "h", "large", VALUE, "small", "v") == 2
        yield proxy, node


# --- behind a barrier ---------------------------------------------------------------------------------------------------


def test_reads_behind_a_script_whose_answer_waits(frozen_bus):
    proxy, node = frozen_bus
    with node.wire(timeout_s=PATIENCE_S) as conn:
        client_id = conn.ask("CLIENT", "ID")
        watch = Watch(node)
        proxy.freeze("down", who="bus")
        conn.send(SCRIPT + READ * COUNT)
        until(lambda: held_bytes(node, client_id) > PAUSE * 9 // 10, PATIENCE_S, "CLIENT LIST shows what is held")
        watch.for_seconds(0.5)
        assert held_bytes(node, client_id) <= PAUSE + MB
        proxy.heal()
        assert conn.read() == b"ran"
        read_values(conn, COUNT, watch)
        assert watch.look() < PAUSE + SLACK
        assert conn.ask("PING") == b"PONG" and held_bytes(node, client_id) == 0


def test_scripts_whose_answers_are_large_themselves(frozen_bus):
    proxy, node = frozen_bus
    with node.wire(timeout_s=PATIENCE_S) as conn:
        client_id = conn.ask("CLIENT", "ID")
        watch = Watch(node)
        proxy.freeze("down", who="bus")
        conn.send(wire.encode(["EVAL", f"return string.rep('v', {MB})", "0"]) * COUNT)
        until(lambda: held_bytes(node, client_id) > PAUSE * 9 // 10, PATIENCE_S, "it is held")
        watch.for_seconds(0.5)
        proxy.heal()
        read_values(conn, COUNT, watch)
        assert watch.look() < PAUSE + SLACK


def test_one_answer_that_is_larger_than_the_limit(frozen_bus):
    """As the head of the queue, which waits itself, and as the last that waits behind it."""
    proxy, node = frozen_bus
    size = PAUSE + MB
    large = wire.encode(["EVAL", f"return string.rep('v', {size})", "0"])
    with node.wire(timeout_s=PATIENCE_S) as conn:
        client_id = conn.ask("CLIENT", "ID")
        for request, sizes in ((large, [size]), (SCRIPT + large, [3, size])):
            node.wait_synced()
            proxy.freeze("down", who="bus")
            conn.send(request + wire.encode(["ECHO", "after"]) + wire.encode(["HGET", "h", "small"]))
            until(lambda: held_bytes(node, client_id) >= size, PATIENCE_S, "it is held")
            proxy.heal()
            assert [len(conn.read()) for _ in sizes] == sizes
            assert [conn.read(), conn.read(), conn.ask("SET", "k", "v")] == [b"after", b"v", b"OK"]


def test_hits_behind_a_read_that_waits(frozen_bus):
    """They cost nobody a question, and hold values that L1 may have given up meanwhile."""
    proxy, node = frozen_bus
    with node.wire(timeout_s=PATIENCE_S) as conn, node.wire() as other:
        client_id = conn.ask("CLIENT", "ID")
        other.ask("SET", "k", VALUE)
        other.ask("SET", "late", "the-marker")
        until(lambda: serves_hits(node, other, "k"), PATIENCE_S, "k is in L1")
        proxy.hold("down", b"the-marker")
        conn.send(wire.encode(["GET", "late"]) + wire.encode(["GET", "k"]) * COUNT)
        until(lambda: held_bytes(node, client_id) > PAUSE * 9 // 10, PATIENCE_S, "CLIENT LIST shows what is held")
        assert held_bytes(node, client_id) <= PAUSE + MB
        proxy.release("down")
        assert conn.read() == b"the-marker"
        read_values(conn, COUNT, Watch(node))


def test_who_shows_small_answers_and_then_asks_for_large_ones_is_closed(frozen_bus):
    """The answers under way are not known to be large: the one thing left is to stop."""
    proxy, node = frozen_bus
    with node.wire(timeout_s=PATIENCE_S) as conn, node.wire() as other:
        conn.pipeline([["HGET", "h", "small"]] * 200)
        watch = Watch(node)
        closed = counted(node, "terrace_output_limit_closed_total")
        proxy.freeze("down", who="bus")
        conn.send(SCRIPT + READ * 300)
        assert conn.closes_within(PATIENCE_S) and conn.leftover() == b""
        assert other.ask("HGET", "h", "large") == VALUE
        watch.for_seconds(0.2)
        assert watch.look() < CLOSE + SLACK
        assert counted(node, "terrace_output_limit_closed_total") == closed + 1
        proxy.heal()
        assert other.ask("EVAL", "return 1", "0") == 1


def test_what_was_held_for_clients_that_left_is_held_no_longer(frozen_bus):
    proxy, node = frozen_bus
    watch = Watch(node)
    proxy.freeze("down", who="bus")
    for _ in range(3):
        with node.wire(timeout_s=PATIENCE_S) as conn:
            client_id = conn.ask("CLIENT", "ID")
            conn.send(wire.encode(["EVAL", f"return string.rep('v', {MB})", "0"]) * COUNT)
            until(lambda: held_bytes(node, client_id) > PAUSE * 9 // 10, PATIENCE_S, "it is held")
            watch.look()
            node.client().client_kill_filter(_id=client_id)
            assert conn.closes_within(PATIENCE_S)
    assert watch.look() < PAUSE + 2 * SLACK
    proxy.heal()


def test_the_node_ends_while_answers_are_held(frozen_bus):
    proxy, node = frozen_bus
    with node.wire(timeout_s=PATIENCE_S) as conn:
        client_id = conn.ask("CLIENT", "ID")
        proxy.freeze("down", who="bus")
        conn.send(SCRIPT + READ * COUNT)
        until(lambda: held_bytes(node, client_id) > PAUSE * 9 // 10, PATIENCE_S, "it is held")
        node.process.signal(signal.SIGTERM)
        assert node.process.wait(15) == 0


# --- strict --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def strict_pair(stage):
    """Two nodes that wait for each other; the second one may stand still for ten seconds."""
    config = stage.folder / "strict.conf"
    config.write_text(f"mode = strict {10 + 2 * SLACK_S:.0f}s\n")
    redis_server = stage.redis()
    nodes = [stage.node(str(config), "--threads", "1", l2=redis_server) for _ in range(2)]
    redis_server.client().hset("h", "large", VALUE)
    return nodes


@pytest.mark.parametrize("is_killed", [False, True], ids=["and reads", "and is killed"])
def test_strict_reads_that_wait_for_another_node(strict_pair, is_killed):
    node, other = strict_pair
    watch = Watch(node)
    for _ in range(3 if is_killed else 1):
        with node.wire(timeout_s=PATIENCE_S) as conn:
            client_id = conn.ask("CLIENT", "ID")
            stand_still(other.process)
            conn.send(READ * COUNT)
            until(lambda: held_bytes(node, client_id) > PAUSE * 9 // 10, PATIENCE_S, "it is held")
            watch.for_seconds(0.1)
            if is_killed:
                node.client().client_kill_filter(_id=client_id)
                assert conn.closes_within(PATIENCE_S)
            else:
                stand_still(other.process, False)
                read_values(conn, COUNT, watch)
    assert watch.look() < PAUSE + (2 if is_killed else 1) * SLACK
    stand_still(other.process, False)
    with node.wire(timeout_s=PATIENCE_S) as conn:
        assert conn.ask("HGET", "h", "large") == VALUE


@pytest.mark.skipif("JOURNEY_SANITIZED" in os.environ, reason="257 MiB take an instrumented node longer than strict waits")
def test_what_waits_behind_an_answer_larger_than_all_limits(strict_pair):
    """What is here is given out, however large it is: the limit ends only what comes on top."""
    node, other = strict_pair
    size = CLOSE + MB
    node.client().hset("h", "huge", b"v" * size)
    with node.wire(timeout_s=PATIENCE_S) as conn:
        client_id = conn.ask("CLIENT", "ID")
        stand_still(other.process)
        conn.send(READ + wire.encode(["HGET", "h", "huge"]) + wire.encode(["ECHO", "after"]))
        until(lambda: held_bytes(node, client_id) >= size, PATIENCE_S, "it is held")
        stand_still(other.process, False)
        assert conn.read() == VALUE and len(conn.read()) == size and conn.read() == b"after"
        assert conn.ask("HGET", "h", "large") == VALUE


# --- a client that reads slowly -----------------------------------------------------------------------------------------------


def test_a_pipeline_of_large_answers_that_is_read_late(frozen_bus):
    _, node = frozen_bus
    with node.wire(timeout_s=PATIENCE_S) as conn:
        client_id = conn.ask("CLIENT", "ID")
        watch = Watch(node)
        conn.send(READ * COUNT)
        until(lambda: held_bytes(node, client_id) > PAUSE // 2, PATIENCE_S, "it is not read")
        watch.for_seconds(0.5)
        read_values(conn, COUNT, watch)
        assert watch.look() < PAUSE + SLACK
