# SPDX-License-Identifier: BSD-3-Clause
"""Commands whose keys are not all known: scripts, SORT by patterns, SCAN. When their answer is given, the node that gave
it serves nothing older, on no connection; and reads that the client sent behind them saw at least as much."""

import os
import threading
import time

import pytest

import wire
from proxy import FaultProxy
from harness import BOUND_S, SLACK_S, ask_timed, serves_hits, until

ROUNDS = int(os.environ.get("JOURNEY_ROUNDS", "5000"))
SET_HIDDEN = "return redis.call('SET', 'hid' .. 'den', ARGV[1])"
GET_HIDDEN = "return redis.call('GET', 'hid' .. 'den')"


@pytest.fixture
def hot(node_with_l2, redis_server):
    """(a connection to the node, the stranger): the node holds `hidden` in L1."""
    with node_with_l2.wire() as conn, redis_server.wire() as stranger:
        stranger.ask("SET", "hidden", "0")
        until(lambda: serves_hits(node_with_l2, conn, "hidden"), 5, "hidden is in L1")
        yield conn, stranger


# --- scripts pass through ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proto", [2, 3])
def test_scripts_and_functions_are_answered_as_redis_does(node_with_l2, redis_server, proto):
    code = "#!lua name=lib\nredis.register_function('twice', function(keys, args) return args[1] * 2 end)"
    steps = [["EVAL", "return {KEYS[1], ARGV[1], 3, {ok='fine'}}", "1", "k", "v"], ["EVAL", "return {err='MINE text'}", "0"],
             ["EVAL", "return 1", "x"], ["EVAL", "return 1", "-1"], ["EVAL", "return 1", "2", "k"], ["EVAL", "return"],
             ["EVAL", "redis.setresp(3) return redis.call('HGETALL', KEYS[1])", "1", "h"], ["EVAL", "syntax error", "0"],
             ["EVAL_RO", "return redis.call('SET', KEYS[1], 'x')", "1", "k"], ["EVALSHA", "0" * 40, "0"],
             ["SCRIPT", "LOAD", "return ARGV[1]"], ["SCRIPT", "EXISTS", "098e0f0d1448c0a81dafe820f66d460eb09263da"],
             ["EVALSHA", "098e0f0d1448c0a81dafe820f66d460eb09263da", "0", "loaded"], ["SCRIPT", "NOSUCH"],
             ["EVALSHA_RO", "098e0f0d1448c0a81dafe820f66d460eb09263da", "0", "loaded"], ["SCRIPT", "KILL"],
             ["SCRIPT", "FLUSH"], ["FUNCTION", "FLUSH"], ["FUNCTION", "LOAD", "REPLACE", code], ["FCALL", "twice", "0", "21"],
             ["FCALL", "none", "0"], ["FUNCTION", "LIST"], ["FUNCTION", "KILL"], ["FUNCTION", "DELETE", "none"], ["SCRIPT"]]
    with node_with_l2.wire(proto=proto) as conn, redis_server.wire(proto=proto) as oracle:
        for words in steps:
            ours, theirs = conn.ask_raw(*words), oracle.ask_raw(*words)
            assert ours == theirs, words


def test_declared_keys_end_at_once(hot):
    conn, _ = hot
    for turn in range(200):
        assert conn.ask("EVAL", "return redis.call('SET', KEYS[1], ARGV[1])", "1", "hidden", str(turn)) == b"OK"
        assert conn.ask("GET", "hidden") == b"%d" % turn


def refused_while_busy(conn, container):
    """All that Redis would be asked for, and PING; what it allows, and what the node has itself, is answered."""
    busy = f"BUSY Redis is busy running a script. You can only call {container} KILL or SHUTDOWN NOSAVE.".encode()
    aborted = b"EXECABORT Transaction discarded because of: " + busy
    assert conn.ask("MULTI") == b"OK" and conn.ask("SET", "k", "1") == b"QUEUED"
    until(lambda: conn.ask("PING") == busy, 5, "the node knows that Redis is busy")
    assert conn.ask("GET", "k") == busy and conn.ask("EXEC") == aborted
    assert conn.ask("SET", "k", "1") == busy and conn.ask("LPUSH", "l", "1") == busy and conn.ask("EXEC") == aborted
    assert conn.ask("MULTI") == b"OK" and conn.ask("DISCARD") == b"OK" and conn.ask("CLIENT", "ID") > 0


@pytest.mark.own
@pytest.mark.parametrize("container", ["SCRIPT", "FUNCTION"])
def test_a_script_without_an_end_can_be_killed_through_the_node(stage, container):
    """With one worker, so that there is one link, on which the script runs."""
    redis_server = stage.redis("--busy-reply-threshold", "50")
    node = stage.node("--threads", "1", l2=redis_server)
    code = "#!lua name=lib\nredis.register_function{function_name='forever', callback=function() while true do end end, flags={'no-writes'}}"
    with node.wire() as conn, node.wire() as savior:
        conn.ask("FUNCTION", "LOAD", code)
        assert savior.ask(container, "KILL") == b"NOTBUSY No scripts in execution right now."
        conn.send(wire.encode(["EVAL", "while true do end", "0"] if container == "SCRIPT" else ["FCALL", "forever", "0"]))
        refused_while_busy(savior, container)
        until(lambda: savior.ask(container, "KILL") == b"OK", 5, "the script is killed")
        assert b"killed by user" in conn.read()
        assert savior.ask("PING") == b"PONG"
        until(lambda: conn.ask("SET", "k", "v") == b"OK", 5, "service goes on")


# --- what the answer promises ------------------------------------------------------------------------------------------


def test_all_connections_of_the_node_see_it_once_it_is_answered(node_with_l2, hot):
    conn, _ = hot
    others = [node_with_l2.wire() for _ in range(4)]  # on both workers
    try:
        old = 0
        for turn in range(1, ROUNDS // 5 + 1):
            value = b"%d" % turn
            for other in others:
                other.ask("GET", "hidden")
            assert conn.ask("EVAL", SET_HIDDEN, "0", value) == b"OK"
            for other in others:
                other.send(wire.encode(["GET", "hidden"]))
            old += sum(other.read() != value for other in others)
        assert old == 0, f"{old} old values"
    finally:
        for other in others:
            other.close()


READS = {
    "EVAL_RO": (["EVAL_RO", GET_HIDDEN, "0"], lambda reply: reply),
    "SORT GET": (["SORT", "one", "BY", "nosort", "GET", "hid*"], lambda reply: reply[0]),
    "SORT_RO GET": (["SORT_RO", "one", "by", "nosort", "get", "hid*"], lambda reply: reply[0]),
}


@pytest.mark.parametrize("name", READS)
def test_a_session_does_not_go_back_behind_a_read_of_keys_that_nobody_named(hot, name):
    """A stranger writes without end; what such a read has shown, the next GET of the session shows, or something newer."""
    conn, stranger = hot
    words, value_of = READS[name]
    stranger.ask("DEL", "one")
    stranger.ask("RPUSH", "one", "den")
    ended = threading.Event()

    def write():
        n = 0
        while not ended.is_set():
            n += 1
            stranger.ask("SET", "hidden", str(n))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        back = 0
        for _ in range(1000):
            conn.ask("GET", "hidden")
            replies = conn.pipeline([words, ["GET", "hidden"]])
            after = conn.ask("GET", "hidden")
            back += not int(value_of(replies[0])) <= int(replies[1]) <= int(after)
        assert back == 0, f"{back} times it went back"
    finally:
        ended.set()
        writer.join()


def test_what_keys_and_scan_do_not_show_is_not_served_either(hot):
    conn, stranger = hot
    shows = {"KEYS": (["KEYS", "hid*"], lambda reply: b"hidden" in reply),
             "SCAN": (["SCAN", "0", "COUNT", "1000000"], lambda reply: b"hidden" in reply[1]),
             "EXISTS by script": (["EVAL_RO", "return redis.call('EXISTS', 'hid' .. 'den')", "0"], bool)}
    for words, is_shown in shows.values():
        for _ in range(200):
            stranger.ask("SET", "hidden", "v")
            conn.ask("GET", "hidden")
            stranger.send(wire.encode(["DEL", "hidden"]))
            if not is_shown(conn.ask(*words)):
                assert conn.ask("GET", "hidden") == wire.NULL_BULK, words
            stranger.read()


@pytest.mark.own
def test_many_answers_share_one_ping(node_with_l2, hot):
    del hot
    conns = [node_with_l2.wire() for _ in range(32)]
    try:
        before = counts(node_with_l2)
        for _ in range(20):
            for conn in conns:
                conn.send(wire.encode(["EVAL", SET_HIDDEN, "0", "x"]) * 10)
            assert all(conn.read() == b"OK" for conn in conns for _ in range(10))
        held, pings = (after - was for after, was in zip(counts(node_with_l2), before))
        print(f"{held} answers, {pings} PINGs")
        assert held == 32 * 20 * 10 and 0 < pings < held / 4
    finally:
        for conn in conns:
            conn.close()


def counts(node):
    """(answers that were kept, PINGs), and how often the floor rose for want of a pong."""
    lines = dict(line.rsplit(" ", 1) for line in node.admin("/metrics")[1].splitlines() if not line.startswith("#"))
    return int(lines["terrace_barriers_total"]), int(lines["terrace_barrier_pings_total"])


def floors(node):
    return next(int(line.rsplit(" ", 1)[1]) for line in node.admin("/metrics")[1].splitlines()
                if line.startswith('terrace_floors_total{cause="barrier"}'))


def test_a_connection_that_names_its_keys_pays_nothing(node_with_l2, hot):
    conn, _ = hot
    before = counts(node_with_l2)
    conn.ask("DEL", "l", "m")
    for words in (["SET", "k", "v"], ["INCR", "n"], ["RPUSH", "l", "2", "1"], ["SORT", "l"], ["SORT", "l", "STORE", "m"],
                  ["ZUNIONSTORE", "z", "1", "none"], ["MSET", "a", "1", "b", "2"], ["LMPOP", "1", "m", "LEFT"],
                  ["BITOP", "NOT", "k", "k"], ["COPY", "l", "m", "REPLACE"]):
        assert not isinstance(conn.ask(*words), wire.Error), words
    assert counts(node_with_l2) == before


# --- without the bus ------------------------------------------------------------------------------------------------------


@pytest.mark.own
def test_without_a_bus_nothing_older_is_served_either(stage):
    """No pong can come, so the floor rises instead, and nobody waits for long."""
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    with node.wire() as conn, node.wire() as other, redis_server.wire() as knife:
        conn.ask("SET", "hidden", "0")
        slowest_s = 0.0
        for turn in range(1, 11):
            until(lambda: serves_hits(node, conn, "hidden"), 10, "hits")
            knife.ask("CLIENT", "KILL", "TYPE", "pubsub")
            for step in range(20):
                value = f"{turn}.{step}".encode()
                reply, took_s = ask_timed(conn, "EVAL", SET_HIDDEN, "0", value)
                slowest_s = max(slowest_s, took_s)
                assert reply == b"OK"
                assert conn.ask("GET", "hidden") == value, "the session"
                assert other.ask("GET", "hidden") == value, "another connection"
        print(f"slowest answer {slowest_s * 1e3:.1f} ms, floors for want of a pong: {floors(node)}")
        assert floors(node) > 0
        assert slowest_s < BOUND_S + SLACK_S


@pytest.fixture
def slow_bus(stage):
    """(proxy, node, two connections): what the bus brings can be delayed; `hidden` is in L1."""
    with FaultProxy(("127.0.0.1", stage.redis().port)) as proxy:
        node = stage.node("--l2-timeout", "300ms", l2=proxy.url)
        with node.wire() as conn, node.wire() as other:
            conn.ask("SET", "hidden", "0")
            until(lambda: serves_hits(node, conn, "hidden") and serves_hits(node, other, "hidden"), 10, "hits")
            yield proxy, node, conn, other


@pytest.mark.own
def test_the_answer_waits_for_a_bus_that_is_late(slow_bus):
    proxy, node, conn, other = slow_bus
    late_s = 0.04
    proxy.delay(40, "down", who="bus")
    for turn in range(1, 21):
        until(lambda: serves_hits(node, other, "hidden"), 10, "hits")
        reply, took_s = ask_timed(conn, "EVAL", SET_HIDDEN, "0", str(turn))
        assert reply == b"OK" and took_s >= late_s
        assert other.ask("GET", "hidden") == conn.ask("GET", "hidden") == b"%d" % turn
    assert floors(node) == 0, "every pong came"


@pytest.mark.own
def test_what_keys_and_scan_do_not_show_is_not_served_while_the_bus_is_late(stage):
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node(l2=proxy.url)
        proxy.delay(40, "down", who="bus")
        with node.wire() as conn, redis_server.wire() as stranger:
            for words in (["KEYS", "hid*"], ["SCAN", "0"], ["DBSIZE"], ["RANDOMKEY"]):
                stranger.ask("SET", "hidden", "0")
                until(lambda: serves_hits(node, conn, "hidden"), 10, "hits")
                stranger.ask("DEL", "hidden")
                assert conn.pipeline([words, ["GET", "hidden"]])[1] == wire.NULL_BULK, f"behind {words[0]}"


@pytest.mark.own
@pytest.mark.parametrize("pings", [1, 2])
def test_an_answer_waits_for_a_ping_of_its_own(stage, pings):
    """Not for one, first or second, that was out before it came: what its script wrote stands behind that one's pong."""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node("--threads", "1", l2=proxy.url)
        with node.wire() as first, node.wire() as conn, node.wire() as other:
            assert conn.ask("SET", "hidden", "0") == b"OK"
            proxy.delay(60, "down", who="bus")
            old = 0
            for turn in range(1, 11):
                until(lambda: serves_hits(node, other, "hidden"), 10, "hits")
                out = redis_server.calls("ping") + pings
                first.send(wire.encode(["EVAL", "return 1", "0"]))
                until(lambda: redis_server.calls("ping") >= out, 5, "the first answer is kept, and its PING answered")
                assert conn.ask("EVAL", SET_HIDDEN, "0", str(turn)) == b"OK"
                old += other.ask("GET", "hidden") != b"%d" % turn
                assert first.read() == 1
            assert old == 0, f"{old} old values in 10 turns"


@pytest.mark.own
def test_a_pong_that_does_not_come_is_waited_for_no_longer_than_l2_timeout(slow_bus):
    proxy, node, conn, other = slow_bus
    proxy.black_hole("down", who="bus")
    reply, took_s = ask_timed(conn, "EVAL", SET_HIDDEN, "0", "1")
    assert reply == b"OK" and took_s < 0.3 + SLACK_S
    assert other.ask("GET", "hidden") == conn.ask("GET", "hidden") == b"1"
    assert floors(node) == 1
    proxy.heal()
    node.wait_synced(10)
    until(lambda: serves_hits(node, conn, "hidden"), 10, "hits")


@pytest.mark.own
def test_a_script_of_unknown_outcome_is_a_write_of_unknown_outcome(slow_bus):
    proxy, node, conn, other = slow_bus
    proxy.black_hole("down", who="plain")
    conn.send(wire.encode(["EVAL", SET_HIDDEN, "0", "1"]))
    with wire.Wire(proxy.target) as redis_wire:
        until(lambda: redis_wire.ask("GET", "hidden") == b"1", 5, "Redis ran the script; its answer goes nowhere")
    proxy.reset("plain")
    proxy.heal()
    reply = conn.read()
    assert isinstance(reply, wire.Error) and reply.startswith(b"UNKNOWN "), reply
    node.wait_synced(10)
    first = until(lambda: not isinstance(reply := other.ask("GET", "hidden"), wire.Error) and reply, 5, "service is back")
    assert first == b"1" and conn.ask("GET", "hidden") == first


@pytest.mark.own
def test_a_session_sees_what_its_script_wrote_to_keys_that_nobody_named(slow_bus):
    """In the same pipeline, and in the next request; the bus is a millisecond behind, so that hits would be old."""
    proxy, node, conn, _ = slow_bus
    node.client().config_set("l2-timeout", "10s")  # late is not old
    proxy.delay(1, "down", who="bus")
    wrong = []

    def compare(expected, *requests):
        replies = conn.pipeline([list(words) for words in requests])
        if replies != expected:
            wrong.append((replies, expected))
    for turn in range(1, ROUNDS + 1):
        before, value = b"%d" % (turn - 1), b"%d" % turn
        if turn % 2:
            compare([before, b"OK", value, [value, wire.NULL_BULK], len(value)],
                    ["GET", "hidden"], ["EVAL", SET_HIDDEN, "0", value], ["GET", "hidden"], ["MGET", "hidden", "none"],
                    ["STRLEN", "hidden"])
        else:  # nobody reads behind the script: L1 still has what was there before it
            compare([before, b"OK"], ["GET", "hidden"], ["EVAL", SET_HIDDEN, "0", value])
        compare([value], ["GET", "hidden"])
        compare([value], ["GET", "hidden"])
    assert not wrong, f"{len(wrong)} in {ROUNDS} rounds are old: {wrong[:3]}"
