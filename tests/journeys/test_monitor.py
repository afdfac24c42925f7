# SPDX-License-Identifier: BSD-3-Clause
"""MONITOR shows what clients of the node run, as redis-server shows it."""

import re

import pytest

import wire
from harness import REHEARSAL, until

LINE = re.compile(rb"^\d{10}\.\d{6} \[(\d+) ([^\]]*)\] (.*)$", re.DOTALL)


@pytest.fixture(scope="module")
def oracle(module_stage):
    return module_stage.redis()


def seen(watcher, count):
    """The next lines: (database, address, words) each."""
    lines = []
    for _ in range(count):
        line = watcher.read()
        assert isinstance(line, wire.Simple), line
        lines.append(LINE.match(line).groups())
    return lines


def watch_all(server, commands, count=2):
    """What monitors of as many connections, so of all workers, are told; the last command is a mark."""
    watchers = [server.wire() for _ in range(count)]
    for watcher in watchers:
        assert watcher.ask("MONITOR") == b"OK"
    with server.wire() as conn:
        peer = b"127.0.0.1:%d" % conn.sock.getsockname()[1]
        for command in [*commands, ["ECHO", "the end"]]:
            conn.send(command if isinstance(command, bytes) else wire.encode(command))
            conn.read()
    told = []
    for watcher in watchers:
        lines = []
        while not lines or b"the end" not in lines[-1][2]:
            lines += seen(watcher, 1)
        # The clock says when: redis-cli of the harness may ask at the same time.
        told.append([(db, words) for db, address, words in lines if address == peer])
        watcher.close()
    assert all(lines == told[0] for lines in told)
    return told[0]


COMMANDS = [
    ["SET", "k", "v"], ["get", "k"], ["GeT", "nosuch"], ["SET", b"\x00\x01\x7f\xff", b"\n\r\t\a\b\\\"' ~"], ["SET", "", ""],
    ["MGET", "a", "b"], ["SELECT", "3"], ["SET", "k", "v"], ["SELECT", "99"], ["INCR", "k"],
    ["AUTH", "secret"], ["AUTH", "default", "secret"], ["HELLO", "2", "AUTH", "default", "x", "SETNAME", "y"],
    ["NOSUCH", "x"], ["GET"], ["CONFIG", "GET", "maxmemory"], ["CLIENT", "LIST"], ["CLIENT", "SETNAME", "me"], ["SLOWLOG", "LEN"],
    ["MULTI"], ["SET", "t", "1"], ["GET", "t"], ["EXEC"], ["MULTI"], ["GET", "t"], ["DISCARD"],
    ["PUBLISH", "a", "b"], ["SUBSCRIBE", "a"], ["GET", "k"], ["PING"], ["UNSUBSCRIBE", "a"],
    b"GET 'an inline one'\r\n", ["HSET", "h", "f", "v"], ["HGETALL", "h"], ["DEBUG", "SLEEP", "0"],
]


def test_lines_are_those_of_redis(node, oracle):
    ours, theirs = (watch_all(server, COMMANDS) for server in (node, oracle))
    assert ours == theirs


@pytest.mark.own
def test_commands_that_only_l2_knows_are_shown(node_with_l2):
    told = watch_all(node_with_l2, [["EVAL", "return redis.call('get', KEYS[1])", "1", "k"], ["LPUSH", "l", "x"], ["BLPOP", "l", "1"]])
    assert [words for _, words in told][:3] == [b'"EVAL" "return redis.call(\'get\', KEYS[1])" "1" "k"', b'"LPUSH" "l" "x"',
                                                b'"BLPOP" "l" "1"']


@pytest.mark.own
def test_a_client_of_the_unix_socket_is_named_by_its_path(node):
    with node.wire() as watcher, wire.Wire(node.unixsocket) as conn:
        watcher.ask("MONITOR")
        conn.ask("SELECT", "5")
        assert seen(watcher, 1) == [(b"5", b"unix:" + node.unixsocket.encode(), b'"SELECT" "5"')]


def test_a_monitor_sees_itself_behind_its_answers_until_reset(node, oracle):
    told = []
    for server in node, oracle:
        with server.wire(proto=3) as watcher, server.wire() as conn:
            lines = [watcher.ask_raw("MONITOR")]
            for command in ["PING"], ["GET", "k"], ["SELECT", "2"], ["SUBSCRIBE", "a"]:
                watcher.send(wire.encode(command))
                lines.append(watcher.read_raw()[0])
                if command[0] != "GET":
                    lines.append(watcher.read_raw()[0])
            flags = re.search(rb"flags=(\w+)", conn.ask("CLIENT", "LIST", "TYPE", "pubsub")).group(1)
            lines += [flags, watcher.ask_raw("RESET")]
            conn.ask("SET", "k", "v")
            lines.append(watcher.ask_raw("PING"))
            told.append([re.sub(rb"\d{10}\.\d{6} \[(\d+) [^\]]*\]", rb"T [\1]", line) for line in lines])
    assert told[0] == told[1]


def test_who_monitors_twice_hears_nothing_of_it(node, oracle):
    for server in node, oracle:
        with server.wire() as watcher:
            watcher.send(wire.encode(["MONITOR"]) + wire.encode(["MONITOR"]) + wire.encode(["QUIT"]))
            assert watcher.read() == b"OK" and watcher.read() == b"OK"
            assert watcher.closes_within(15) and watcher.leftover() == b""


def test_a_silenced_monitor_hears_nothing(node, oracle):
    for server in node, oracle:
        with server.wire() as watcher, server.wire() as conn:
            watcher.send(b"CLIENT REPLY OFF\r\nMONITOR\r\nPING\r\nCLIENT REPLY ON\r\n")
            assert watcher.read() == b"OK"
            watcher.read()
            conn.ask("SET", "k", "v")
            assert b'"SET" "k" "v"' in watcher.read()


@pytest.mark.own
def test_a_monitor_that_does_not_read_is_closed_and_others_go_on(node_alone):
    """On whatever worker; what it had not read is given back."""
    value = b"\x00" * (1 << 18)  # four bytes each in a line
    slow = [node_alone.wire() for _ in range(2)]
    for watcher in slow:
        watcher.ask("MONITOR")
    with node_alone.wire() as conn:
        assert conn.ask("CLIENT", "LIST").count(b"flags=O") == 2
        for _ in range(60):
            assert conn.ask("SET", "large", value) == b"OK"
        until(lambda: b"flags=O" not in conn.ask("CLIENT", "LIST"), what="monitors are gone")
        assert conn.ask("GET", "large") == value
    for watcher in slow:
        watcher.close()


def test_redis_cli_monitors(node):
    if REHEARSAL:
        return
    with node.wire() as watcher:
        assert watcher.ask("MONITOR") == b"OK"
        assert node.cli("SET", "by-cli", "1") == "OK"
        words = b""
        while b"by-cli" not in words:
            (_, _, words), = seen(watcher, 1)
        assert words == b'"SET" "by-cli" "1"'
