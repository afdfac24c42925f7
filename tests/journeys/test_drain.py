# SPDX-License-Identifier: BSD-3-Clause
"""A node that goes gives its share of the requests back first: SIGTERM and CACHE.DRAIN."""

import signal
import threading
import time

import pytest
import wire
from harness import log_lines, until
from libterrace import Client
from test_cache_commands import as_map

pytestmark = pytest.mark.own


@pytest.fixture(scope="module")
def l2(module_stage):
    return module_stage.redis()


@pytest.fixture
def pair(stage, l2):
    """One that stays and one that will go, and takes clients for a while yet."""
    nodes = stage.node(l2=l2), stage.node("--drain-delay", "30s", l2=l2)
    until(lambda: weight_of(nodes[1], seen_by=nodes[0]) == 1, 10, "both have a full share")
    yield nodes
    nodes[1].process.kill()  # it would take its time


def seen(node, by):
    """What `by` knows of the node."""
    with by.wire(proto=3) as conn:
        for one in conn.ask("CACHE.NODES"):
            fields = as_map(one)
            if fields[b"address"].decode().endswith(f":{node.port}"):
                return fields
    return None


def weight_of(node, seen_by):
    one = seen(node, seen_by)
    return one and float(one[b"weight"])


def drain_by_signal(node):
    node.process.signal(signal.SIGTERM)


def drain_by_command(node):
    with node.wire() as conn:
        assert conn.ask("CACHE.DRAIN") == b"OK"


@pytest.mark.parametrize("drain", [drain_by_signal, drain_by_command])
def test_a_node_that_drains_is_not_ready_and_has_no_share_but_still_takes_clients(pair, drain):
    stays, goes = pair
    drain(goes)
    until(lambda: goes.admin("/readyz") == (503, "not ready\ndraining\n"), 5, "it says that it drains")
    until(lambda: weight_of(goes, seen_by=stays) == 0, 5, "the others know")
    assert weight_of(goes, seen_by=goes) == 0
    assert seen(goes, by=stays)[b"state"] == b"SYNCED", "it serves as before"
    with goes.wire() as late:
        assert late.ask("SET", "late", "v") == b"OK"
    if drain is drain_by_command:
        goes.process.signal(signal.SIGTERM)
        until(lambda: log_lines(goes, "terminate"), 5, "it was heard")
        with goes.wire() as late:
            assert late.ask("GET", "late") == b"v", "it was the first signal"
    goes.process.signal(signal.SIGTERM)
    assert goes.process.wait(10) == 128 + signal.SIGTERM, "the second signal ends it at once"


@pytest.mark.parametrize("drain", [drain_by_signal, drain_by_command])
def test_a_node_that_has_drained_ends_with_0_and_says_goodbye(stage, l2, drain):
    stays, goes = stage.node(l2=l2), stage.node(l2=l2)
    until(lambda: seen(goes, by=stays), 5, "they know each other")
    drain(goes)
    assert goes.process.wait(10) == 0
    until(lambda: seen(goes, by=stays)[b"state"] == b"LEFT", 5, "it said goodbye")


def test_a_node_without_l2_drains_too(stage):
    node = stage.node()
    drain_by_command(node)
    assert node.process.wait(10) == 0


def test_who_may_not_do_everything_may_not_drain(stage):
    node = stage.node()
    node.client().execute_command("ACL", "SETUSER", "guest", "on", "nopass", "+@all", "-@admin", "~*")
    with node.wire() as conn:
        conn.ask("AUTH", "guest", "x")
        assert isinstance(conn.ask("CACHE.DRAIN"), wire.Error)
    assert node.process.alive()


def test_libterrace_sends_nothing_more_to_a_node_that_drains(pair):
    stays, goes = pair
    with Client(f"endpoints=127.0.0.1:{stays.port}", "timeout=10s&discover=nodes&discover-every=50ms&strategy=round-robin") as client:
        def asked(node):
            return next((one for one in client.endpoints() if one.address.endswith(f":{node.port}")), None)

        until(lambda: client.ping() and asked(goes) and asked(goes).requests > 0, 10, "both are asked")
        drain_by_command(goes)
        until(lambda: asked(goes).health == "DRAINING", 10, "the client knows")
        before = asked(goes).requests, asked(stays).requests
        for _ in range(50):
            assert client.set("k", "v").status == "OK"
        assert asked(goes).requests == before[0]
        assert asked(stays).requests >= before[1] + 50


def test_a_load_that_a_draining_node_handed_out_goes_to_who_waits_for_it_elsewhere(stage, l2):
    path = stage.folder / "managed.conf"
    path.write_text("[namespace m]\nprefix = m:\nformat = managed\nload-timeout = 60s\n")
    stays, goes = stage.node(str(path), l2=l2), stage.node(str(path), l2=l2)
    with goes.wire(proto=3) as holder, stays.wire(proto=3) as waiter:
        assert holder.ask("CACHE.FETCH", "m:k")[0] == b"LOAD"
        answers = []
        asking = threading.Thread(target=lambda: answers.append(waiter.ask("CACHE.FETCH", "m:k", "HARD", "20000")))
        asking.start()
        began = time.monotonic()
        goes.process.signal(signal.SIGTERM)
        asking.join(20)
        assert answers and answers[0][0] == b"LOAD", answers
        assert time.monotonic() - began < 15
    assert goes.process.wait(30) == 0, "it ends by itself: a second signal would be an end at once"
