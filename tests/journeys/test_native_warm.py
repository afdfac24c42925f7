# SPDX-License-Identifier: BSD-3-Clause
"""WARM and HOT of the native protocol (docs/protocol.md), read by a codec of our own."""
import json

import native
import pytest
from harness import until

pytestmark = pytest.mark.own
SUBMIT, REGISTER, LIST, STATUS, PAUSE, RESUME, CANCEL, SETRATE = range(1, 9)


@pytest.fixture(scope="module")
def node(module_stage):
    l2 = module_stage.redis()
    node = module_stage.node(l2=l2)
    with l2.client() as client:
        client.mset({f"w:{i}": "value" for i in range(100)})
    return node


@pytest.fixture
def conn(node):
    with node.native() as one:
        yield one


def submit(conn, **job):
    answer = conn.ask("WARM", body=json.dumps(job), warm=SUBMIT)
    assert answer.status == "OK" and answer.meta["warm_id"] > 0 and answer.body == b"", answer
    return answer.meta["warm_id"]


def jobs(conn, **asked):
    answer = conn.ask("WARM", **asked)
    assert answer.status == "OK", answer
    return native.decode("WarmList", answer.body)["jobs"]


def status(conn, number):
    [job] = jobs(conn, warm=STATUS, warm_id=number)
    return job


def test_a_job_is_told_as_cache_warm_tells_it(node, conn):
    number = submit(conn, source={"keys": ["w:1", "w:2", "nothing"]}, mode="force", priority=8)
    until(lambda: status(conn, number)["state"] == "done", 20, "it is done")
    job = status(conn, number)
    assert (job["id"], job["priority"], job["total"], job["loaded"], job["absent"]) == (number, 8, 3, 2, 1)
    with node.wire() as resp:
        resp.ask("HELLO", "3")
        told = resp.ask("CACHE.WARM", "STATUS", number)
    for name, value in told:
        name = name.decode()
        assert name in job, f"terrace.proto lacks {name}"
        seen = job[name]
        if name == "nodes":
            assert [one["done"] for one in seen] == [3] and seen[0]["address"] == f"127.0.0.1:{node.port}"
        elif isinstance(seen, str):
            assert seen == value.decode(), name
        elif name != "failures":
            assert seen == type(seen)(value), name
    assert number in [one["id"] for one in jobs(conn, warm=LIST)]


def test_changes_of_a_job(conn):
    number = submit(conn, source={"pattern": "w:*"}, rate=1, mode="force")
    assert conn.ask("WARM", warm=PAUSE, warm_id=number).status == "OK"
    until(lambda: status(conn, number)["state"] == "paused", 10, "it is paused")
    assert conn.ask("WARM", warm=SETRATE, warm_id=number, warm_rate=77).status == "OK"
    assert status(conn, number)["rate_limit"] == 77
    assert conn.ask("WARM", warm=RESUME, warm_id=number).status == "OK"
    assert conn.ask("WARM", warm=CANCEL, warm_id=number).status == "OK"
    assert status(conn, number)["state"] == "cancelled"
    late = conn.ask("WARM", warm=PAUSE, warm_id=number)
    assert late.status == "ERROR" and b"has ended" in late.body, late


def test_what_cannot_be_is_refused_and_the_connection_lives(conn):
    assert conn.ask("WARM").status == "BAD"
    assert conn.ask("WARM", warm=9).status == "BAD"
    answer = conn.ask("WARM", warm=SUBMIT, body=b"{")
    assert answer.status == "ERROR" and answer.body.startswith(b"ERR $"), answer
    answer = conn.ask("WARM", warm=STATUS, warm_id=1 << 40)
    assert answer.status == "ERROR" and b"no such warm job" in answer.body, answer
    assert conn.ask("HOT", hot=1 << 31).status == "ERROR"
    assert conn.beat().status == "OK"


def test_who_may_not_call_cache_warm_may_not_here(node):
    with node.wire() as other:
        other.ask("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+@read", "-cache.warm")
    with node.native() as conn:
        assert conn.hello("reader", "secret").status == "OK"
        assert conn.ask("WARM", warm=LIST).status == "NOPERM"


def test_hot_keys_come_with_their_bytes(node, conn):
    with node.wire() as other:
        other.ask("SET", b"hot\xff", "v")
        for _ in range(600):
            other.ask("GET", b"hot\xff")

    def keys():
        answer = conn.ask("HOT", hot=5)
        assert answer.status == "OK", answer
        return [key for key in native.decode("HotList", answer.body)["keys"] if key["key"] == b"hot\xff"]
    [key] = until(keys, 20, "it was counted")
    assert key["ns"] == "default" and key["count"] > 0 and key["per_s"] > 0
