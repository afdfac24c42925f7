# SPDX-License-Identifier: BSD-3-Clause
"""Several endpoints of L2, and sentinels: the node finds the one that serves, and nothing of a former one is shown."""

import os
import pathlib
import signal

import pytest
import redis
from harness import REHEARSAL, ROOT, SLACK_S, Server, free_port, until

pytestmark = pytest.mark.skipif(REHEARSAL, reason="endpoints of L2 are the node's")


def address(server):
    return f"127.0.0.1:{server.port}"


def endpoint(node):
    return node.info("l2")["l2_endpoint"]


def replica_of(replica, master):
    replica.client().replicaof("127.0.0.1", master.port)
    until(lambda: replica.client().info("replication").get("master_link_status") == "up", 15, "the replica is in sync")


def promote(server):
    server.client().replicaof("NO", "ONE")
    until(lambda: server.client().info("replication")["role"] == "master", 5)


def writes_arrive(node):
    try:
        return node.client().set("probe", "x")
    except redis.RedisError:
        return False


def test_the_first_endpoint_by_priority_is_used(stage):
    first, second = stage.redis(), stage.redis()
    node = stage.node(l2=f"{second.url}?priority=2,{first.url}?priority=1")
    node.client().set("k", "v")
    assert endpoint(node) == address(first)
    assert first.client().get("k") == b"v" and second.client().get("k") is None


def test_a_promoted_replica_is_found(stage):
    first, second = stage.redis(), stage.redis()
    replica_of(second, first)
    node = stage.node(l2=f"{first.url},{second.url}")
    client = node.client()
    client.set("k", "old")
    assert client.get("k") == b"old"
    until(lambda: second.client().get("k") == b"old", 5)
    first.end()
    promote(second)
    second.client().set("k", "new")
    until(lambda: endpoint(node) == address(second), 15 + SLACK_S, "the node went to the replica")
    node.wait_synced(10)
    assert client.get("k") == b"new"
    client.set("k", "newer")
    assert second.client().get("k") == b"newer"
    assert int(node.info("l2")["l2_moves"]) >= 1


def test_a_demoted_master_that_stays_up_is_left(stage):
    """Its connections stay open: only its refusal to write tells."""
    first, second = stage.redis(), stage.redis()
    replica_of(second, first)
    node = stage.node(l2=f"{first.url},{second.url}")
    client = node.client()
    client.set("k", "old")
    assert client.get("k") == b"old"
    promote(second)
    first.client().replicaof("127.0.0.1", second.port)
    second.client().set("k", "new")
    until(lambda: endpoint(node) == address(second), 15 + SLACK_S, "the node went to the new master")
    node.wait_synced(10)
    assert client.get("k") == b"new"


def test_independent_servers_show_nothing_of_each_other(stage):
    """And the better one is gone back to when it has answered for the hold-down."""
    first, second = stage.redis(), stage.redis()
    node = stage.node("--l2-failback-hold", "500ms", l2=f"{first.url}?independent=1,{second.url}")
    client = node.client()
    second.client().set("k", "second")
    client.set("k", "first")
    client.set("only-first", "1")
    assert client.get("k") == b"first" and client.get("only-first") == b"1"
    first.end()
    until(lambda: endpoint(node) == address(second), 15 + SLACK_S, "failover")
    node.wait_synced(10)
    assert client.get("k") == b"second"
    assert client.get("only-first") is None
    first.start()
    until(lambda: endpoint(node) == address(first), 15 + SLACK_S, "failback")
    node.wait_synced(10)
    assert client.get("k") is None  # it came back empty
    assert int(node.info("l2")["l2_moves"]) == 2


def test_where_all_endpoints_fail_the_node_says_so_and_recovers(stage):
    first, second = stage.redis(), stage.redis()
    node = stage.node(l2=f"{first.url}?independent=1,{second.url}")
    first.end()
    second.end()

    def refused():
        try:
            node.client().get("nothing")
        except redis.ResponseError as error:
            return str(error).startswith("L2DOWN")
        return False
    until(refused, 10 + SLACK_S, "L2DOWN")
    until(lambda: int(node.info("l2")["l2_moves"]) >= 3, 20 + SLACK_S, "both were tried")
    second.start()
    until(lambda: writes_arrive(node), 15 + SLACK_S, "the one that is back is found")
    assert second.client().get("probe") == b"x"


def test_an_operator_moves_the_node_by_hand(stage):
    """And what he chose stays, though a better one works."""
    first, second = stage.redis(), stage.redis()
    node = stage.node("--l2-failback-hold", "200ms", l2=f"{first.url}?independent=1,{second.url}")
    client = node.client()
    client.set("k", "first")
    second.client().set("k", "second")
    assert client.get("k") == b"first"
    assert client.execute_command("CACHE.FAILOVER") == b"OK"
    until(lambda: endpoint(node) == address(second), 5)
    node.wait_synced(10)
    assert client.get("k") == b"second"
    assert client.execute_command("CACHE.FAILOVER", "ADDRESS", address(first)) == b"OK"
    node.wait_synced(10)
    until(lambda: client.get("k") == b"first", 5)
    for words, wrong in ((("ADDRESS", address(first)), "is the current one"), (("ADDRESS", "nowhere:1"), "no such"),
                         (("SIDEWAYS",), "syntax error"), (("ADDRESS",), "syntax error")):
        with pytest.raises(redis.ResponseError, match=wrong):
            client.execute_command("CACHE.FAILOVER", *words)
    with pytest.raises(redis.ResponseError, match="no L2"):
        stage.node().client().execute_command("CACHE.FAILOVER")
    with pytest.raises(redis.ResponseError, match="no other endpoint"):
        stage.node(l2=first).client().execute_command("CACHE.FAILOVER")


# --- sentinels -------------------------------------------------------------------------------------------------------


class Sentinel(Server):
    """A sentinel that watches `master` under the name m, with a quorum of two."""

    def __init__(self, stage, master):
        self.stage, self.name, self.port = stage, stage.name("sentinel"), free_port()
        config = pathlib.Path(stage.folder) / f"{self.name}.conf"
        config.write_text(f"port {self.port}\nbind 127.0.0.1\ndir {stage.folder}\n"
                          f"sentinel monitor m 127.0.0.1 {master.port} 2\n"
                          "sentinel down-after-milliseconds m 500\nsentinel failover-timeout m 5000\n")
        self.process = stage.run(self.name, ["redis-server", config, "--sentinel"])
        until(self.answers_ping, 10, "the sentinel answers")

    def knows(self, replicas, sentinels):
        state = self.client().sentinel_master("m")
        return state["num-slaves"] == replicas and state["num-other-sentinels"] == sentinels


@pytest.fixture
def watched(stage):
    master, replica = stage.redis(), stage.redis()
    replica_of(replica, master)
    sentinels = [Sentinel(stage, master) for _ in range(3)]
    for sentinel in sentinels:
        until(lambda one=sentinel: one.knows(1, 2), 30, "the sentinels know each other")
    url = "redis+sentinel://" + ",".join(address(sentinel) for sentinel in sentinels) + "/m"
    return master, replica, sentinels, url


def test_sentinels_are_asked_and_followed(stage, watched):
    master, replica, sentinels, url = watched
    node = stage.node(l2=url)
    client = node.client()
    client.set("k", "old")
    assert client.get("k") == b"old"
    assert endpoint(node) == address(master)
    until(lambda: replica.client().get("k") == b"old", 5)
    sentinels[0].end()  # the node may have been asking this one; two are a quorum
    master.process.kill()
    until(lambda: endpoint(node) == address(replica), 30 + SLACK_S, "the node followed the sentinels")
    node.wait_synced(15)
    replica.client().set("k", "new")
    assert client.get("k") in (b"old", b"new")
    until(lambda: client.get("k") == b"new", 2 + SLACK_S)
    client.set("after", "1")
    assert replica.client().get("after") == b"1"


def is_replica(server):
    try:
        return server.client().info("replication")["role"] == "slave"
    except redis.ConnectionError:  # the sentinels close all connections of whom they demote
        return False


def test_the_sentinels_fail_over_when_they_are_asked_to(stage, watched):
    master, replica, _, url = watched
    node = stage.node(l2=url)
    client = node.client()
    client.set("k", "v")
    assert client.get("k") == b"v"
    with pytest.raises(redis.ResponseError, match="they choose"):
        client.execute_command("CACHE.FAILOVER", "ADDRESS", address(replica))
    assert client.execute_command("CACHE.FAILOVER") == b"OK"
    until(lambda: endpoint(node) == address(replica), 30 + SLACK_S, "the sentinels moved the master")
    node.wait_synced(15)
    client.set("k", "w")
    assert client.get("k") == b"w" and replica.client().get("k") == b"w"
    until(lambda: is_replica(master), 15, "the former master is a replica")


def test_a_name_that_no_sentinel_knows_is_said(stage, watched):
    url = watched[-1]
    node = stage.node_not_started(l2=url[:-1] + "stranger")
    node.launch()
    until(node.answers_ping, 10)
    until(lambda: "l2_unknown_master" in node.process.log(), 10, "the log says so")
    with pytest.raises(redis.ResponseError, match="^L2DOWN"):
        node.client().get("k")


def test_sentinels_that_cannot_be_reached_are_said(stage):
    gone = free_port()
    node = stage.node_not_started(l2=f"redis+sentinel://127.0.0.1:{gone}/main")
    node.launch()
    until(node.answers_ping, 10)
    until(lambda: "l2_sentinel_down" in node.process.log(), 10, "the log says so")
    line = next(line for line in node.process.log().splitlines() if "l2_sentinel_down" in line)
    assert f"127.0.0.1:{gone}: " in line and "refused" in line.lower()


# --- names --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("url", ["redis://a.hangs:1", "redis+sentinel://127.0.0.1:1,b.hangs:1/m"])
def test_a_name_server_that_is_silent_delays_neither_the_start_nor_the_end(stage, url):
    """A lookup cannot be cancelled: its thread hangs to the end. Listening and the end do not depend on it."""
    preload = ROOT / "build" / "release" / "tests" / "journeys" / "slow_names.so"
    node = stage.node_not_started(l2=url, env={**os.environ, "LD_PRELOAD": str(preload)})
    node.launch()
    until(lambda: "slow_names: it hangs" in node.process.log(64000), 10, "the name is being looked up")
    with node.wire() as conn:
        assert conn.ask("PING") == b"PONG"
        assert conn.ask("GET", "k").startswith(b"L2DOWN")
    node.process.signal(signal.SIGTERM)
    assert node.process.wait(20) == 0, "the lookup never ends"
