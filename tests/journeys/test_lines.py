# SPDX-License-Identifier: BSD-3-Clause
"""Connections to Redis that one client has to itself (blocking commands, WATCH, subscriptions), and MONITOR, while Redis
goes away, moves or is cut off: everybody hears of it, nothing is taken by who hears nothing, nothing is left over."""

import signal

import pytest

import wire
from harness import until
from proxy import FaultProxy

pytestmark = pytest.mark.own


class Crowd:
    """One client of each kind at a node, all waiting in Redis."""

    def __init__(self, node, redis_server):
        self.node = node
        self.pops, self.reads, self.watches, self.hears, self.hears3, self.monitors = self.all = [
            node.wire(proto=proto) for proto in (2, 3, 2, 2, 3, 2)]
        self.watches.pipeline([["SET", "watched", "1"], ["WATCH", "watched"], ["GET", "watched"]])
        self.pops.send(wire.encode(["BLPOP", "list", "0"]))
        self.reads.send(wire.encode(["XREAD", "BLOCK", "0", "STREAMS", "stream", "$"]))
        for ear in self.hears, self.hears3:
            ear.ask("SUBSCRIBE", "news")
        assert self.monitors.ask("MONITOR") == b"OK"
        until(lambda: redis_server.client().info("clients")["blocked_clients"] == 2, 5, "two are blocked")
        assert node.info("l2")["l2_lines_used"] == "3" and node.info("l2")["l2_subscribers"] == "2"

    def is_let_go(self):
        """Each has an answer or its connection is closed, and can go on; MONITOR hears of all of it."""
        taken, looked = self.pops.read(), self.reads.read()
        assert isinstance(taken, wire.Error) and taken.startswith(b"UNKNOWN"), taken
        assert isinstance(looked, wire.Error) and looked.startswith(b"L2DOWN"), looked
        for ear in self.hears, self.hears3:
            assert ear.closes_within(15) and ear.leftover() == b""
        until(lambda: self.node.info("l2")["l2_subscribers"] == "0", 5)

    def goes_on(self, redis_server):
        """At this Redis."""
        until(lambda: self.reads.ask("SET", "probe", "1") == b"OK", 10, "Redis is reached again")
        replies = self.watches.pipeline([["MULTI"], ["SET", "watched", "2"], ["EXEC"]])
        assert replies[2] is wire.NULL_ARRAY, "what was watched may have changed"
        until(lambda: self.watches.pipeline([["MULTI"], ["SET", "watched", "3"], ["EXEC"]])[2] == [b"OK"], 10)
        until(lambda: self.node.info("l2")["l2_lines_used"] == "0", 5, "every line was given back")
        self.pops.send(wire.encode(["BLPOP", "list", "0"]))
        until(lambda: redis_server.client().info("clients")["blocked_clients"] == 1, 5)
        assert redis_server.client().rpush("list", "a") == 1
        assert self.pops.read() == [b"list", b"a"] and redis_server.client().llen("list") == 0
        with self.node.wire() as ear:
            assert ear.ask("SUBSCRIBE", "news")[2] == 1
            until(lambda: self.watches.ask("PUBLISH", "news", "x") == 1, 5)
            assert ear.read() == [b"message", b"news", b"x"]
        until(lambda: b'"BLPOP" "list" "0"' in self.monitors.read(), 5)
        until(lambda: self.node.info("l2")["l2_lines_used"] == self.node.info("l2")["l2_subscribers"] == "0", 5)
        for conn in self.all:
            conn.close()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_redis_is_killed_and_comes_back(stage, end):
    redis_server = stage.redis()
    node = stage.node("--l2-timeout", "300ms", l2=redis_server)
    crowd = Crowd(node, redis_server)
    redis_server.process.signal(end)
    redis_server.process.wait(10)
    crowd.is_let_go()
    redis_server.start()
    crowd.goes_on(redis_server)


def test_the_node_is_moved_by_hand(stage):
    first, second = stage.redis(), stage.redis()
    node = stage.node("--l2-timeout", "300ms", l2=f"{first.url}?independent=1,{second.url}")
    crowd = Crowd(node, first)
    with node.wire() as conn:
        assert conn.ask("CACHE.FAILOVER") == b"OK"
    crowd.is_let_go()
    until(lambda: first.client().info("clients")["blocked_clients"] == 0, 5, "nobody takes anything there")
    assert first.client().rpush("list", "a") == 1
    crowd.goes_on(second)
    assert first.client().llen("list") == 1


def test_a_network_that_stalls_loses_nobody(stage):
    """Shorter than anybody's patience: all go on waiting, and get what came meanwhile."""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node("--l2-timeout", "20s", l2=proxy.url)
        crowd = Crowd(node, redis_server)
        proxy.freeze("both")
        stranger = redis_server.client()
        stranger.rpush("list", "a", "b")
        stranger.xadd("stream", {"f": "v"}, id="1-1")
        assert stranger.publish("news", "x") == 2
        proxy.heal()
        assert crowd.pops.read() == [b"list", b"a"] and stranger.llen("list") == 1
        assert crowd.reads.read() == wire.Map([[b"stream", [[b"1-1", [b"f", b"v"]]]]])
        assert crowd.hears.read() == crowd.hears3.read() == [b"message", b"news", b"x"]
        assert crowd.watches.pipeline([["MULTI"], ["SET", "watched", "2"], ["EXEC"]])[2] == [b"OK"]
        for conn in crowd.all:
            conn.close()
        until(lambda: node.info("l2")["l2_lines_used"] == node.info("l2")["l2_subscribers"] == "0", 5)
        node.end()


def test_a_network_that_is_cut_and_heals(stage):
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node("--l2-timeout", "300ms", l2=proxy.url)
        crowd = Crowd(node, redis_server)
        proxy.reset()
        crowd.is_let_go()
        until(lambda: redis_server.client().info("clients")["blocked_clients"] == 0, 5)
        crowd.goes_on(redis_server)
        node.end()
