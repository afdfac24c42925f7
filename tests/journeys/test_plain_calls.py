# SPDX-License-Identifier: BSD-3-Clause
"""A run of reads and writes is asked once for what could be special about its connection and its node: so what a pipeline
changes in the middle must hold from the very next call on."""

import time

import pytest

import wire
from harness import REHEARSAL, serves_hits, until

GET = ("GET", "plain:key")


@pytest.fixture(scope="module", params=["alone", "behind an L2"])
def server(request, module_stage):
    if REHEARSAL or request.param == "alone":
        return module_stage.node()
    node = module_stage.node(l2=module_stage.redis())
    node.wait_synced()
    return node


@pytest.fixture
def conn(server):
    """A connection whose key is held, so that each GET of it is a hit."""
    with server.wire() as connection:
        assert connection.pipeline([("SET", "plain:key", "one"), GET]) == [b"OK", b"one"]
        until(lambda: serves_hits(server, connection, "plain:key"), what="what the writing announced has come")
        yield connection


def test_multi_queues_the_next_call_and_exec_ends_that(conn):
    replies = conn.pipeline([GET, ("MULTI",), GET, ("SET", "plain:key", "two"), GET, ("EXEC",), GET])
    assert replies == [b"one", b"OK", b"QUEUED", b"QUEUED", b"QUEUED", [b"one", b"OK", b"two"], b"two"]


def test_replies_are_skipped_and_off_where_the_client_says_so(conn):
    commands = [GET, ("CLIENT", "REPLY", "SKIP"), GET, GET, ("CLIENT", "REPLY", "OFF"), GET, ("SET", "plain:key", "two"),
                ("CLIENT", "REPLY", "ON"), GET, ("ECHO", "end")]
    conn.send(b"".join(wire.encode(command) for command in commands))
    assert [conn.read() for _ in range(5)] == [b"one", b"one", b"OK", b"two", b"end"]


def test_the_protocol_is_another_behind_hello(conn):
    missing = wire.encode(("GET", "plain:missing"))
    conn.send(missing + wire.encode(("HELLO", "3")) + missing + wire.encode(("HELLO", "2")) + missing)
    raw = [conn.read_raw()[0] for _ in range(5)]
    assert raw[0] == raw[4] == b"$-1\r\n" and raw[2] == b"_\r\n"


def test_the_database_is_another_behind_select(conn):
    replies = conn.pipeline([GET, ("SELECT", "1"), ("DEL", "plain:key"), ("EXISTS", "plain:key"), ("SET", "plain:key", "there"), GET,
                             ("SELECT", "0"), GET])
    assert replies[:2] + replies[3:] == [b"one", b"OK", 0, b"OK", b"there", b"OK", b"one"]


def test_a_subscriber_and_who_monitors_may_not_read_on(server, conn):
    got, joined, refused = conn.pipeline([GET, ("SUBSCRIBE", "plain:channel"), GET])
    assert got == b"one" and joined[0] == b"subscribe"
    assert isinstance(refused, wire.Error) and b"Can't execute 'get'" in refused
    with server.wire() as watcher:
        got, begun, refused = watcher.pipeline([GET, ("MONITOR",), GET])
        assert (got, begun) == (b"one", b"OK")
        assert isinstance(refused, wire.Error) and b"Replica can't interact with the keyspace" in refused


def test_who_watches_sees_the_next_call(server, conn):
    with server.wire() as watcher:
        assert watcher.ask("MONITOR") == b"OK"
        conn.pipeline([GET, ("SET", "plain:key", "seen")])
        words = [watcher.read().split(b"] ", 1)[1] for _ in range(2)]
    assert words == [b'"GET" "plain:key"', b'"SET" "plain:key" "seen"']


def test_another_user_may_do_what_he_may_from_his_next_call_on(conn):
    assert conn.ask("ACL", "SETUSER", "plain", "reset", "on", "nopass", "~mine:*", "+get", "+hello") == b"OK"
    got, begun, refused, missing = conn.pipeline([GET, ("AUTH", "plain", "any"), GET, ("GET", "mine:1")])
    assert (got, begun) == (b"one", b"OK")
    assert isinstance(refused, wire.Error) and refused.startswith(b"NOPERM")
    assert not isinstance(missing, wire.Error)


def test_the_slow_log_takes_the_next_call_once_it_takes_all(conn):
    before, = conn.pipeline([("CONFIG", "GET", "slowlog-log-slower-than")])
    replies = conn.pipeline([("SLOWLOG", "RESET"), GET, ("CONFIG", "SET", "slowlog-log-slower-than", "0"), GET, GET,
                             ("CONFIG", "SET", "slowlog-log-slower-than", before[1]), GET, ("SLOWLOG", "GET", "100")])
    assert [b"GET" in entry[3] for entry in replies[-1]].count(True) == 2


def test_what_is_read_under_tracking_is_told_of(server):
    with server.wire(proto=3) as reader, server.wire() as writer:
        assert writer.ask("SET", "plain:key", "one") == b"OK"
        assert reader.pipeline([GET, ("CLIENT", "TRACKING", "ON"), GET]) == [b"one", b"OK", b"one"]
        assert writer.ask("SET", "plain:key", "two") == b"OK"
        assert reader.read() == wire.Push([b"invalidate", [b"plain:key"]])


def test_a_pause_holds_the_next_call(conn):
    began = time.monotonic()
    assert conn.pipeline([GET, ("CLIENT", "PAUSE", "200", "ALL"), GET]) == [b"one", b"OK", b"one"]
    assert time.monotonic() - began >= 0.19


@pytest.mark.own
def test_each_call_of_a_run_is_counted(server, conn):
    def calls(name):
        return int(dict(field.split(b"=") for field in fields[b"cmdstat_" + name].split(b","))[b"calls"])

    def read_stats():
        text = conn.ask("INFO", "commandstats")
        return dict(line.split(b":", 1) for line in text.splitlines() if line.startswith(b"cmdstat_"))

    fields = read_stats()
    before = calls(b"get"), calls(b"set")
    conn.pipeline([GET, ("SET", "plain:key", "two")] * 50)
    fields = read_stats()
    assert (calls(b"get"), calls(b"set")) == (before[0] + 50, before[1] + 50)
