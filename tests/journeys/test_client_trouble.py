# SPDX-License-Identifier: BSD-3-Clause
"""libterrace when things go wrong: nodes that die, come back, fall silent; networks that swallow."""

import threading
import time

import pytest
from harness import free_port, stand_still, until
from libterrace import Client
from proxy import FaultProxy

pytestmark = pytest.mark.own


def at(*ports):
    return "endpoints=" + ",".join(f"127.0.0.1:{port}" for port in ports)


# --- nodes that die ---

def test_a_client_that_waits_sees_no_error_while_its_node_is_killed_and_started_again(stage):
    node = stage.node()
    with Client(at(node.port), "timeout=30s&when-down=wait&retries=1000") as client:
        assert client.set("k", "v").status == "OK"
        node.process.kill()
        answers = []
        asking = threading.Thread(target=lambda: answers.append(client.set("k", "w", retry_unknown=1)))
        asking.start()
        until(lambda: client.counters()["retries"] > 0, 10, "it is tried again")
        assert node.start()
        asking.join(30)
        assert answers[0].status == "OK"
        assert client.get("k").data == b"w"
        assert client.counters()["disconnects"] == 1


def test_when_one_of_two_nodes_dies_reads_go_to_the_other_at_once(stage):
    redis = stage.redis()
    one, two = stage.node(l2=redis), stage.node(l2=redis)
    with Client(at(one.port, two.port), "timeout=10s&strategy=round-robin&fail=closed") as client:
        assert client.set("k", "v").status == "OK"
        for _ in range(10):
            assert client.get("k").data == b"v"
        assert min(info.requests for info in client.endpoints()) >= 5
        one.process.kill()
        for _ in range(50):
            assert client.get("k").data == b"v"
        health = {info.address: info.health for info in client.endpoints()}
        assert health[f"127.0.0.1:{two.port}"] == "UP"
        until(lambda: {info.address: info.health for info in client.endpoints()}[f"127.0.0.1:{one.port}"] == "DOWN", 30, "it is known to be down")
        assert one.start()
        until(lambda: {info.health for info in client.endpoints()} == {"UP"}, 30, "it is up again")


def test_with_all_breakers_open_calls_end_at_once(stage):
    node = stage.node()
    with Client(at(node.port), "timeout=60s&retries=0") as client:
        assert client.ping()[0] == "OK"
        node.process.kill()
        until(lambda: client.get("k").reason == "UNREACHABLE" and client.endpoints()[0].health == "DOWN", 20, "it is down")
        began = time.monotonic()
        found = client.get("k")
        assert (found.status, found.reason) == ("MISS", "UNREACHABLE") and time.monotonic() - began < 5
        assert "down" in found.error or "refused" in found.error


def test_a_node_that_drains_is_left_without_an_error(stage):
    redis = stage.redis()
    one, two = stage.node(l2=redis), stage.node(l2=redis)
    with Client(at(one.port, two.port), "timeout=10s&strategy=round-robin&fail=closed") as client:
        ended, wrong = [], []

        def read():
            while not ended:
                found = client.get("k")
                if found.status != "OK":
                    wrong.append(found)
        assert client.set("k", "v").status == "OK"
        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        until(lambda: client.counters()["requests"] > 200, 20, "they read")
        one.process.signal(15)
        one.process.wait(20)
        after = client.counters()["requests"]
        until(lambda: client.counters()["requests"] > after + 200, 20, "they read on")
        ended.append(True)
        for thread in threads:
            thread.join()
        assert not wrong


# --- writes that may have been made ---

def test_a_write_that_was_sent_and_lost_is_unknown_and_is_not_made_twice(stage):
    node = stage.node()
    with FaultProxy(("127.0.0.1", node.port)) as proxy, Client(at(proxy.port), "timeout=20s") as client:
        assert client.command("SET", "n", "0")[0] == "OK"
        proxy.black_hole("down")
        answers = []
        asking = threading.Thread(target=lambda: answers.append(client.command("INCR", "n")))
        asking.start()
        until(lambda: node.client().get("n") == b"1", 10, "the node has done it")
        proxy.heal()  # what lost bytes is reset
        asking.join(20)
        assert answers[0][0] == "UNKNOWN"
        assert node.client().get("n") == b"1"
        assert client.counters()["unknown"] == 1


def test_a_write_that_is_not_answered_in_time_is_unknown(stage):
    node = stage.node()
    with FaultProxy(("127.0.0.1", node.port)) as proxy, Client(at(proxy.port), "timeout=20s") as client:
        assert client.ping()[0] == "OK"
        proxy.freeze("down")
        done = client.set("k", "v", timeout_ms=300)
        assert done.status == "UNKNOWN"
        until(lambda: node.client().get("k") == b"v", 10, "the node has done it")


def test_a_write_that_never_left_is_made_elsewhere(stage):
    node = stage.node()
    with Client(at(free_port(), node.port), "timeout=20s&strategy=round-robin") as client:
        for i in range(6):
            assert client.set(f"k{i}", "v").status == "OK"


# --- networks ---

def test_a_black_hole_is_found_by_probes_and_gone_around(stage):
    node = stage.node()
    with FaultProxy(("127.0.0.1", node.port)) as proxy:
        with Client(at(proxy.port, node.port), "timeout=20s&strategy=round-robin&fail=closed&connect-timeout=300ms") as client:
            assert client.set("k", "v").status == "OK"
            for _ in range(4):
                assert client.get("k").status == "OK"
            proxy.black_hole("both")
            for _ in range(6):
                assert client.get("k").data == b"v"
            health = {info.address: info for info in client.endpoints()}
            until(lambda: {info.address: info for info in client.endpoints()}[f"127.0.0.1:{proxy.port}"].health == "DOWN", 20, "it is down")
            assert health[f"127.0.0.1:{node.port}"].health == "UP"
            proxy.heal()
            until(lambda: {info.health for info in client.endpoints()} == {"UP"}, 20, "it is up again")


def test_a_read_that_takes_long_is_asked_elsewhere_too(stage):
    node = stage.node()
    with FaultProxy(("127.0.0.1", node.port)) as proxy:
        with Client(at(proxy.port, node.port), "timeout=20s&strategy=round-robin&hedge=20ms&fail=closed") as client:
            client.set("k", "v")
            for _ in range(4):
                assert client.get("k").status == "OK"
            proxy.delay(8000, "down")
            began = time.monotonic()
            for _ in range(4):
                assert client.get("k").data == b"v"
            assert time.monotonic() - began < 7  # not one of them waited for the slow one
            counters = client.counters()
            assert counters["hedges"] >= 1 and counters["hedges_won"] >= 1


def test_an_answer_in_slices_is_put_together(stage):
    node = stage.node()
    with FaultProxy(("127.0.0.1", node.port)) as proxy, Client(at(proxy.port), "timeout=30s") as client:
        proxy.slice(7)
        data = bytes(range(256)) * 200
        assert client.set("k", data).status == "OK"
        assert client.get("k").data == data
        status, found = client.mget(["k", "none", "k"])
        assert status == "OK" and [one.data for one in found] == [data, None, data]


def test_bytes_that_were_changed_on_the_way_never_kill_the_client(stage):
    node = stage.node()
    with FaultProxy(("127.0.0.1", node.port)) as proxy, Client(at(proxy.port), "timeout=1s&connect-timeout=200ms&breaker-open=10ms&breaker-most=20ms") as client:
        proxy.seed(7)
        client.set("k", "v" * 50)
        proxy.flip_bytes(60)
        for _ in range(150):
            client.get("k", timeout_ms=50)
            client.set("k", "v" * 50, timeout_ms=50)
        proxy.flip_bytes(0)
        proxy.reset()
        until(lambda: client.get("k").status in ("OK", "MISS") and client.ping()[0] == "OK", 20, "it is well again")


def test_a_slow_reader_of_large_writes_holds_up_nobody_s_memory(stage):
    node = stage.node()
    with FaultProxy(("127.0.0.1", node.port)) as proxy, Client(at(proxy.port), "timeout=500ms&max-queue-bytes=10mb") as client:
        until(lambda: client.ping()[0] == "OK", 20, "it is there")
        proxy.freeze("up")
        statuses = [client.set("k", "x" * 6_000_000).status for _ in range(3)]
        assert set(statuses) <= {"DEADLINE", "UNKNOWN", "UNREACHABLE"}
        proxy.heal()
        until(lambda: client.set("k", "v", timeout_ms=5000).status == "OK", 30, "it goes on")


# --- L0, watching, discovery ---

def test_a_value_is_served_from_memory_until_somebody_writes_it(stage):
    redis = stage.redis()
    node = stage.node(l2=redis)
    with Client(at(node.port), "timeout=10s&near-memory=1mb") as client:
        client.set("k", "v")
        until(lambda: client.get("k").from_near, 20, "it is kept near")
        found = client.get("k")
        assert found.data == b"v" and 0 <= found.age_ms < 3000
        redis.client().set("k", "w")  # a stranger
        until(lambda: client.get("k").data == b"w", 10, "it is seen")
        until(lambda: client.get("k").from_near, 20, "the new one is kept near")
        assert not client.get("k", no_near=1).from_near
        assert not client.get("k", contract="FRESH").from_near
        assert client.set("k", "x").status == "OK"
        assert client.get("k").data == b"x"
        status, found = client.mget(["k", "none"])
        assert status == "OK" and [one.data for one in found] == [b"x", None]
        counters = client.counters()
        assert counters["near_hits"] >= 2 and counters["near_fills"] >= 2


def test_a_near_copy_is_handed_out_as_stale_when_nobody_can_be_asked(stage):
    redis = stage.redis()
    redis.client().set("k", "v")  # before there is a node: an announcement would come late, and end what is kept
    node = stage.node(l2=redis)
    with Client(at(node.port), "timeout=5s&near-memory=1mb&retries=0") as client:
        until(lambda: client.get("k").from_near, 20, "it is kept near")
        node.process.kill()
        until(lambda: client.get("k").reason == "UNREACHABLE", 20, "it is not served as fresh any more")
        found = client.get("k", spare_ms=600_000)
        assert (found.status, found.data, found.reason) == ("STALE", b"v", "UNREACHABLE")
        assert found.age_ms >= 0
        assert client.get("k").status == "MISS"


def test_who_watches_a_prefix_hears_of_changes_and_of_gaps(stage):
    redis = stage.redis()
    node = stage.node(l2=redis)
    heard = []
    with Client(at(node.port), "timeout=10s") as client:
        watch = client.watch("user:", heard.append)
        assert watch.status == "OK"
        until(lambda: heard, 10, "it begins")
        assert heard == [None]
        redis.client().set("user:1", "v")
        redis.client().set("other:1", "v")
        redis.client().set("user:2", "v")
        until(lambda: b"user:1" in heard and b"user:2" in heard, 10, "both are heard of")
        assert b"other:1" not in heard
        before = len([one for one in heard if one is None])
        node.process.kill()
        until(lambda: len([one for one in heard if one is None]) > before, 20, "the loss is heard of")
        assert node.start()
        until(lambda: (redis.client().set("user:3", "v"), b"user:3" in heard)[1], 30, "it goes on", every_s=0.1)
        watch.end()


def test_nodes_are_found_by_asking_one_of_them(stage):
    redis = stage.redis()
    one, two = stage.node(l2=redis), stage.node(l2=redis)
    with Client(at(one.port), "timeout=10s&discover=nodes&discover-every=100ms") as client:
        until(lambda: {f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"} == {info.address for info in client.endpoints()}, 20, "both are known")
        one.process.kill()
        until(lambda: client.get("k").status == "MISS" and client.get("k").reason == "ABSENT", 10, "the other one is asked")


def test_regions_fail_over_and_can_be_chosen_by_hand(stage):
    near, far = stage.node(), stage.node()
    with Client(f"endpoints=127.0.0.1:{near.port}@near,127.0.0.1:{far.port}@far", "regions=near:1,far:2&timeout=10s&hold-down=200ms") as client:
        assert client.set("k", "near").status == "OK"
        assert near.client().get("k") == b"near"
        near.process.kill()
        until(lambda: client.set("k", "far").status == "OK" and far.client().get("k") == b"far", 20, "the far one is asked")
        assert client.counters()["failovers"] >= 1
        assert any("failover" in event.what for event in client.history())
        assert near.start()
        until(lambda: [info.region for info in client.endpoints() if info.is_current_region] == ["near"], 20, "it comes back")
        assert client.use_region("far") == "OK"
        assert client.set("k", "by hand").status == "OK" and far.client().get("k") == b"by hand"
        assert client.use_region(None) == "OK"
        assert client.use_region("nowhere") == "BAD_ARGUMENT"


def test_a_silent_node_makes_no_thread_wait_longer_than_it_said(stage):
    node = stage.node()
    with Client(at(node.port), "timeout=60s") as client:
        assert client.ping()[0] == "OK"
        stand_still(node.process)
        began = time.monotonic()
        found = client.get("k", timeout_ms=200)
        waited = time.monotonic() - began
        stand_still(node.process, False)
        assert (found.status, found.reason) == ("MISS", "DEADLINE") and 0.15 < waited < 5
