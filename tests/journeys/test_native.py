# SPDX-License-Identifier: BSD-3-Clause
"""The native protocol (docs/protocol.md) at a node: every request, alone and with an L2, and what is refused."""

import pytest

import native

pytestmark = pytest.mark.own


@pytest.fixture
def conn(node):
    node.client().flushall()
    with node.native() as conn:
        assert conn.hello(client_name="journey", lib_name="native.py", lib_version="1").status == "OK"
        yield conn


def test_hello_says_who_the_node_is(node):
    with node.native() as conn:
        welcome = conn.hello(client_name="me", db=3)
        assert welcome.status == "OK" and welcome.meta["max_version"] == 1
        assert welcome.meta["server_version"] == node.info()["terrace_version"]
        assert len(welcome.meta["node"]) == 16
        assert str(node.port) in welcome.meta["address"]
        mine = [line for line in node.client().client_list() if int(line["id"]) == welcome.meta["connection"]]
        assert mine[0]["name"] == "me" and mine[0]["db"] == "3" and mine[0]["resp"] == "3"


def test_no_hello_is_needed_where_nobody_has_to_log_in(node):
    with node.native() as conn:
        assert conn.set("k", "v").status == "OK"
        assert conn.get("k").body == b"v"


def test_set_get_delete(conn):
    assert conn.get("k").status == "NIL"
    assert conn.set("k", "hello").status == "OK"
    answer = conn.get("k")
    assert (answer.status, answer.body, answer.meta["state"], answer.meta["ttl_ms"]) == ("OK", b"hello", native.HIT, -1)
    assert conn.set("e", b"").status == "OK"
    assert conn.get("e").status == "OK" and conn.get("e").body == b""
    assert conn.delete("k", "e", "no").meta["count"] == 2
    assert conn.get("k").status == "NIL" and conn.get("k").meta["ttl_ms"] == -2


def test_set_with_a_life_and_a_condition(conn):
    assert conn.set("k", "1", px_ms=60_000).status == "OK"
    assert 50_000 < conn.get("k").meta["ttl_ms"] <= 60_000
    assert conn.set("k", "2", condition=1).status == "NIL"
    assert conn.set("k", "2", condition=2).status == "OK"
    assert conn.set("n", "2", condition=2).status == "NIL"
    assert conn.set("n", "2", condition=1).status == "OK"
    assert conn.set("k", "2", condition=1, want_seq=True).status == "BAD"
    assert conn.set("k", "2", condition=7).status == "BAD"
    assert conn.get("k").body == b"2"


def test_calls_answer_as_resp3(conn):
    assert conn.call("PING").body == b"+PONG\r\n"
    assert conn.call("INCR", "n").body == b":1\r\n"
    assert conn.call("HSET", "h", "f", "v").body == b":1\r\n"
    assert conn.call("HGETALL", "h").body == b"%1\r\n$1\r\nf\r\n$1\r\nv\r\n"
    error = conn.call("INCR", "h")
    assert error.status == "WRONGTYPE" and error.body.startswith(b"WRONGTYPE ")
    assert conn.get("h").status == "WRONGTYPE"
    assert conn.call("NOSUCH").status == "ERROR"


def test_beat_answers(conn):
    assert conn.beat().meta["has_horizon"]
