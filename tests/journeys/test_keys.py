# SPDX-License-Identifier: BSD-3-Clause
"""Keys, their lives, their databases and their names, on a node alone and on one with an L2."""

import json
import time

import pytest
import redis

from harness import SLACK_S, until
from warm import fields


def test_keys_come_and_go(client):
    client.mset({"a": 1, "b": 2, "c": 3})
    assert client.exists("a", "b", "a", "none") == 3
    assert client.touch("a", "none") == 1
    assert client.delete("a", "none") == 1 and client.unlink("b", "c") == 2
    assert client.mget("a", "b", "c") == [None, None, None]
    assert client.dbsize() == 0 and client.randomkey() is None


def test_a_key_ends_at_its_deadline(client):
    client.set("k", "v", px=150)
    began = time.monotonic()
    assert client.get("k") == "v"
    until(lambda: client.get("k") is None, 0.15 + SLACK_S, "the key expires")
    assert time.monotonic() - began >= 0.14, "it ended early"
    assert client.pttl("k") == -2 and client.exists("k") == 0


def test_expiry_and_its_conditions(client):
    client.set("k", "v")
    ask = client.execute_command
    assert ask("EXPIRE", "k", 1000, "XX") == 0
    assert ask("EXPIRE", "k", 1000, "NX") == 1
    assert ask("EXPIRE", "k", 500, "GT") == 0
    assert ask("EXPIRE", "k", 500, "LT") == 1
    assert 498 <= client.ttl("k") <= 500
    assert client.persist("k") == 1 and client.ttl("k") == -1
    assert client.pexpireat("k", 4_000_000_000_000) == 1
    assert ask("PEXPIRETIME", "k") == 4_000_000_000_000
    assert client.expireat("k", 1) == 1 and client.get("k") is None
    assert client.expire("none", 10) == 0 and client.ttl("none") == -2


def test_a_past_deadline_deletes(client):
    client.set("k", "v")
    assert client.get("k") == "v"
    assert client.expire("k", -1) == 1
    assert client.get("k") is None and client.dbsize() == 0


def test_renaming_takes_value_and_life_along(client):
    client.set("old", "v", ex=1000)
    client.set("new", "other")
    assert client.get("old") == "v" and client.get("new") == "other"
    assert client.rename("old", "new") is True
    assert client.get("new") == "v" and client.get("old") is None and client.ttl("new") > 990
    client.set("old", "again")
    assert client.renamenx("old", "new") is False and client.renamenx("old", "free") is True
    with pytest.raises(redis.ResponseError, match="no such key"):
        client.rename("none", "x")


def test_copies_are_their_own(client):
    client.set("a", "v", ex=1000)
    assert client.copy("a", "b") is True and client.copy("a", "b") is False
    assert client.copy("a", "b", replace=True) is True
    client.set("a", "changed")
    assert client.get("b") == "v" and client.ttl("b") > 990
    assert client.copy("a", "b", destination_db=3) is True
    with node_db(client, 3) as third:
        assert third.get("b") == "changed"


def node_db(client, db):
    address = client.connection_pool.connection_kwargs
    return redis.Redis(host=address["host"], port=address["port"], db=db, decode_responses=True)


def test_databases_do_not_meet(client):
    with node_db(client, 1) as one, node_db(client, 2) as two:
        client.set("k", "zero")
        one.set("k", "one")
        assert two.get("k") is None and client.get("k") == "zero" and one.get("k") == "one"
        assert (client.dbsize(), one.dbsize(), two.dbsize()) == (1, 1, 0)
        assert client.swapdb(0, 1) is True
        assert client.get("k") == "one" and one.get("k") == "zero"
        one.flushdb()
        assert one.get("k") is None and client.get("k") == "one"
        client.flushall()
        assert client.get("k") is None
    with pytest.raises(redis.ResponseError, match="DB index is out of range"):
        client.execute_command("SELECT", 16)


def test_scan_finds_every_key_once_or_more(client):
    names = {f"user:{i}" for i in range(1000)}
    client.mset({name: "x" for name in names})
    client.set("other", "y")
    found = list(client.scan_iter(match="user:*", count=100))
    assert set(found) == names
    assert set(client.scan_iter(count=7)) == names | {"other"}
    assert set(client.scan_iter(_type="string")) == names | {"other"} and not set(client.scan_iter(_type="list"))
    assert set(client.keys("user:1?")) == {f"user:1{i}" for i in range(10)}
    assert client.dbsize() == 1001
    assert client.randomkey() in names | {"other"}


def test_scan_keeps_its_promise_while_keys_change(client):
    """Keys that are there from beginning to end are all returned, whatever comes and goes meanwhile."""
    stay = {f"stay:{i}" for i in range(300)}
    client.mset({name: "x" for name in stay})
    found, cursor, turn = set(), 0, 0
    while True:
        cursor, names = client.scan(cursor, count=20)
        found.update(names)
        client.mset({f"passing:{turn}:{i}": "y" for i in range(50)})
        client.delete(*[f"passing:{turn - 1}:{i}" for i in range(50)])
        turn += 1
        if cursor == 0:
            break
        assert turn < 2000, "SCAN does not end"
    assert stay <= found


def test_objects_say_what_they_are(client):
    client.set("int", 12345)
    client.set("short", "x" * 44)
    client.set("long", "x" * 45)
    client.append("appended", "x")
    client.append("appended", "y")
    assert [client.object("encoding", k) for k in ("int", "short", "long", "appended")] == ["int", "embstr", "raw", "raw"]
    assert client.object("refcount", "long") == 1
    assert client.object("idletime", "short") in (0, 1, 2)
    assert client.memory_usage("long") > 45 and client.memory_usage("none") is None


def test_info_counts_keys(client):
    client.set("k", "v", ex=100)
    client.set("l", "v")
    keyspace = client.info("keyspace")
    assert keyspace["db0"]["keys"] == 2 and keyspace["db0"]["expires"] == 1
    client.flushdb()
    assert "db0" not in client.info("keyspace")


def test_redis_cli_scans(node):
    node.cli("FLUSHALL")
    node.cli("MSET", "a", "1", "b", "2", "c", "3")
    assert sorted(node.cli("--scan").split()) == ["a", "b", "c"]
    assert node.cli("--scan", "--pattern", "b*") == "b"
    assert sorted(node.cli("KEYS", "*").split()) == ["a", "b", "c"]
    assert node.cli("-n", "2", "DBSIZE") == "0"


@pytest.mark.own
def test_the_nodes_own_keys_are_neither_shown_nor_counted_whatever_warm_jobs_there_are(stage):
    l2 = stage.redis()
    node = stage.node("--coherence-db", "0", l2=l2)

    def job(verb, **job):
        return client.execute_command("CACHE.WARM", verb, json.dumps(job))

    def shown():
        """All that a client is shown of the database, and what Redis has there."""
        found = [key for _, keys in [client.scan(0, count=10_000)] for key in keys]
        return client.dbsize(), client.info("keyspace")["db0"]["keys"], client.keys("*"), found
    with node.client() as client, l2.client() as raw:
        client.set("mine", "v")
        waits = job("SUBMIT", source={"keys": [f"none:{i}" for i in range(3)]}, rate=1)
        client.execute_command("CACHE.WARM", "PAUSE", waits)
        job("REGISTER", source={"hot": 10}, schedule="08:55 mon-fri")
        job("SUBMIT", source={"set": "mine"})  # is no set: fails
        job("SUBMIT", source={"keys": ["mine"]})
        states = ["done", "failed", "paused", "standing"]
        until(lambda: sorted(fields(reply)["state"] for reply in client.execute_command("CACHE.WARM", "LIST")) == states, 20, "all are there")
        kinds = {key.split(b":")[2] for key in raw.keys("terrace:warm:*:*")}
        assert {b"job", b"json"} <= kinds and raw.dbsize() > 10, "of what is hidden there is much"
        assert shown() == (1, 1, [b"mine"], [b"mine"]) and client.randomkey() == b"mine"


@pytest.mark.own
def test_who_tracks_all_keys_is_not_told_of_the_nodes_own(stage):
    l2 = stage.redis()
    node = stage.node("--coherence-db", "0", l2=l2)
    own = ["hot:held", "hot:held:0123456789abcdef:0", "hot:at", "warm:job:1", "warm:lanes:1", "lease:0:k"]
    with node.wire(proto=3) as conn, l2.client() as raw:
        assert conn.ask("CLIENT", "TRACKING", "ON", "BCAST") == b"OK"
        for name in own:
            raw.set(f"terrace:strange:{name}", "v")  # no key of the nodes is called so
            if not raw.exists(f"terrace:{name}"):
                raw.hset(f"terrace:{name}", "f", "v")
        raw.set("last", "v")
        told = set()
        while b"last" not in told:
            told.update(conn.read()[1])
    assert told == {b"last"} | {f"terrace:strange:{name}".encode() for name in own}
