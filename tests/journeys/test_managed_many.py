# SPDX-License-Identifier: BSD-3-Clause
"""One call that names very many managed keys: it is answered whole, others are served meanwhile, nothing is asked for twice."""

import select

import pytest

import wire
from envelopes import seal
from harness import slow_under_sanitizers, stand_still, until
from test_managed import configured

pytestmark = pytest.mark.own

CONFIG = """
memory = 64mb
[namespace pages]
prefix = m:
format = managed
[namespace small]
prefix = q:
format = managed
max-ops = 1000
"""
MANY = 10000


@pytest.fixture(scope="module")
def nodes(module_stage, redis_server):
    """The first one has one worker."""
    first = configured(module_stage, CONFIG, "--threads", "1", l2=redis_server)
    second = configured(module_stage, CONFIG, "--threads", "2", l2=redis_server)
    for node in (first, second):
        until(lambda node=node: int(node.info()["coherence_nodes"]) >= 2, 10, "both nodes are heard")
        node.wait_synced()
    return first, second


def names(prefix, count=MANY):
    return [f"m:{prefix}:{i}" for i in range(count)]


def fill(redis_server, keys, **more):
    pipe = redis_server.client().pipeline(transaction=False)
    for key in keys:
        pipe.set(key, seal(key.encode(), fresh_ms=600000, **more), px=600000)
    pipe.execute()


def answered_meanwhile(node, conn, *words):
    """The answer, and how many PINGs of another client of the same worker were answered before it."""
    pings = 0
    with node.wire() as other:
        conn.send(wire.encode(words))
        while not select.select([conn.sock], [], [], 0)[0]:
            assert other.ask("PING") == b"PONG"
            pings += 1
    return conn.read(), pings


def tally(nodes, name):
    return sum(int(dict(pair.split("=") for pair in node.info("namespaces")["ns_pages"].split(","))[name]) for node in nodes)


@pytest.mark.parametrize("word", ["MGET", "EXISTS", "UNLINK"])
def test_others_are_served_while_a_call_of_many_keys_runs(nodes, redis_server, word):
    keys = names(f"cold {word}")
    fill(redis_server, keys)
    with nodes[0].wire() as conn:
        answer, pings = answered_meanwhile(nodes[0], conn, word, *keys, keys[0])
        assert answer == ([key.encode() for key in [*keys, keys[0]]] if word == "MGET" else MANY + (word == "EXISTS"))
        assert pings >= 10, "in each turn of the loop some of the keys are asked for"
        assert conn.ask("PING") == b"PONG"
    assert redis_server.client().exists(*keys) == (0 if word == "UNLINK" else MANY)


@slow_under_sanitizers
def test_a_hundred_thousand_keys_are_answered_and_each_is_read_once(nodes, redis_server):
    keys = names("wide", 100000)
    fill(redis_server, keys[::10])
    with nodes[0].wire() as conn:
        redis_server.client().config_resetstat()
        got = conn.ask("EXISTS", *keys)
        assert got == 10000
        assert redis_server.calls("pttl") == 100000
        assert conn.ask("MGET", *keys[::10]) == [key.encode() for key in keys[::10]]


def test_two_that_come_together_read_no_key_twice(nodes, redis_server):
    keys = names("once")
    fill(redis_server, keys)
    conns = [nodes[1].wire() for _ in range(4)]
    redis_server.client().config_resetstat()
    for conn in conns:
        conn.send(wire.encode(["MGET", *keys]))
    for conn in conns:
        assert conn.read() == [key.encode() for key in keys]
        conn.close()
    assert redis_server.calls("pttl") == MANY, "all of both workers share one question for each key"


@pytest.mark.parametrize("count", [3, 1500])
@pytest.mark.parametrize("order", [1, -1])
def test_of_two_that_find_nothing_one_loads_all(nodes, redis_server, count, order):
    """At nodes that know nothing of each other's clients. The other one waits, and gets what the first one writes."""
    keys = names(f"load {count} {order}", count)
    before = tally(nodes, "loads"), tally(nodes, "loads_filled")
    with nodes[0].wire() as one, nodes[1].wire() as two:
        one.send(wire.encode(["MGET", *keys]))
        two.send(wire.encode(["MGET", *(keys if count > 512 else keys[::order])]))
        ready = select.select([one.sock, two.sock], [], [], 10)[0]
        assert len(ready) == 1, "nobody is told anything before the first one has written"
        loader, other = (one, two) if ready == [one.sock] else (two, one)
        assert loader.read() == [wire.NULL_BULK] * count
        assert not select.select([other.sock], [], [], 0)[0]
        assert loader.pipeline([("SET", key, "loaded") for key in keys]) == [b"OK"] * count
        assert other.read() == [b"loaded"] * count
    assert (tally(nodes, "loads") - before[0], tally(nodes, "loads_filled") - before[1]) == (count, count), "one load for each key"


def test_a_client_that_leaves_in_the_middle_hands_on_what_it_was_to_load(nodes, redis_server):
    keys = names("left", 2000)
    before = tally(nodes[:1], "loads")
    with nodes[0].wire() as gone, nodes[0].wire() as conn:
        gone.send(wire.encode(["MGET", *keys]))
        until(lambda: tally(nodes[:1], "loads") > before, 5, "it was to load something")
        gone.close()
        assert conn.ask("MGET", *keys) == [wire.NULL_BULK] * len(keys)
        assert conn.ask("SET", keys[0], "v") == b"OK"
        assert conn.ask("GET", keys[0]) == b"v"


def test_an_error_in_the_middle_is_the_whole_answer(nodes, redis_server):
    """What L1 holds comes first, and more of it than is told in one turn."""
    keys = names("error", 2000)
    fill(redis_server, keys)
    with nodes[0].wire() as conn:
        until(lambda: conn.ask("MGET", *keys[:1000]) and conn.ask("MGET", *keys[:1000]) == [key.encode() for key in keys[:1000]], 5, "half is known")
        nodes[0].client().config_set("l2-timeout", "300ms")
        stand_still(redis_server.process)
        try:
            answer = conn.ask("MGET", *keys)
        finally:
            stand_still(redis_server.process, False)
            nodes[0].client().config_set("l2-timeout", "2s")
        assert isinstance(answer, wire.Error) and answer.startswith((b"L2DOWN", b"STALE")), answer[:1]
        assert conn.ask("PING") == b"PONG", "and nothing else came"
    for node in nodes:
        node.wait_synced(10)


def test_operations_are_counted_by_keys(nodes):
    """And so a call of many takes what the namespace has left."""
    keys = names("ops", 1200)
    with nodes[0].wire() as conn:
        for words in (("MGET", *keys), ("EXISTS", *keys), ("MSET", *(part for key in keys for part in (key, "v"))), ("DEL", *keys)):
            before = tally(nodes, "ops")
            assert not isinstance(conn.ask(*words), wire.Error)
            assert tally(nodes, "ops") - before == len(keys), words[0]
        assert conn.ask("DEL", *(f"q:{i}" for i in range(20000))) == 0, "twenty seconds' worth"
        answer = conn.ask("GET", "q:one")
        assert isinstance(answer, wire.Error) and answer.startswith(b"BUSY namespace 'small' is over its quota of 1000 operations/s"), answer
