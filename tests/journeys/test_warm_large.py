# SPDX-License-Identifier: BSD-3-Clause
"""What nobody waits for is not brought over the clients' link if L1 would not keep it (tiers/flight_ask.c)."""

import random
import re

import pytest

import warm
from harness import stand_still, until

pytestmark = pytest.mark.own

LARGE = 24 << 20
LITTLE = 3 << 20  # what may pass in place of it: other values, first pieces, the queue
MEMORY = ("--memory", "16mb")  # of which a quarter is kept of one value


def sent(redis_server):
    """Bytes that Redis has written to all its clients."""
    return redis_server.client().info("stats")["total_net_output_bytes"]


def put_large(redis_server):
    """A string that L1 keeps no part of, and a hash of few fields that are long."""
    client = redis_server.client()
    client.set("w:string", "s" * LARGE)
    client.hset("w:hash", mapping={f"field:{i}": "h" * (LARGE // 4) for i in range(4)})


def test_a_job_that_meets_large_values_leaves_them_where_they_are(stage):
    redis_server = stage.redis()
    client = redis_server.client()
    node = stage.node(*MEMORY, l2=redis_server)
    node.wait_synced()
    values = {"w:empty": b"", "w:short": b"v", "w:64k": b"k" * 65537, "w:1m": b"m" * (1 << 20)}
    for name, value in values.items():
        client.set(name, value, px=3600_000)
    client.hset("w:fields", mapping={"a": "1", "b": "x" * 1000})
    client.hset("w:rounded", mapping={name: name * 85_000 for name in "abc"})  # for Redis' allocator a sixth more than that
    put_large(redis_server)
    node.catch_up()
    before = sent(redis_server)
    job = warm.run(node, {"pattern": "w:*"})
    assert (job["state"], job["total"], job["loaded"], job["failed"]) == ("done", 8, 6, 0)
    assert node.info("warming")["warm_keys_too_big"] == "2"
    assert sent(redis_server) - before < LITTLE
    client.config_resetstat()
    with node.wire() as conn:
        for name, value in values.items():
            assert conn.ask("GET", name) == value
            assert 3500_000 < conn.ask("PTTL", name) <= 3600_000
        assert conn.ask("HGET", "w:fields", "b") == b"x" * 1000
        assert conn.ask("HGET", "w:rounded", "c") == b"c" * 85_000
        assert redis_server.calls("pttl") + redis_server.calls("hget") + redis_server.calls("hscan") == 0, "in front of each GET of ours; beats GET, too"
        assert conn.ask("GET", "w:string") == b"s" * LARGE, "who asks for it gets it"
        assert conn.ask("HSTRLEN", "w:hash", "field:3") == LARGE // 4


def test_a_suspect_that_has_grown_is_not_brought_either(stage):
    redis_server = stage.redis()
    client = redis_server.client()
    node = stage.node(*MEMORY, "--revalidate-rate", "1000", l2=redis_server)
    node.wait_synced()
    client.set("w:string", "small")
    client.hset("w:hash", "field:0", "small")
    with node.wire() as conn:
        def are_here():
            conn.ask("GET", "w:string")
            conn.ask("HGET", "w:hash", "field:0")
            return node.l1_items() == 2
        until(are_here, 20, "both are in L1")
        stand_still(node.process)  # so that it hears of neither
        assert client.execute_command("CLIENT", "KILL", "TYPE", "pubsub") >= 1
        put_large(redis_server)
        before = sent(redis_server)
        stand_still(node.process, False)

        def counts():
            return {name: int(n) for name, n in re.findall(r"(\w+)=(\d+)", node.info()["revalidated"])}
        until(lambda: node.coherence_state() == "SYNCED" and node.info()["coherence_revalidating"] == "0" and
              node.l1_items() == 0, 30, "neither stands any more")
        assert counts()["same"] == 0
        assert sent(redis_server) - before < LITTLE
        assert conn.ask("STRLEN", "w:string") == LARGE


def test_a_large_value_of_a_managed_namespace_stays_in_l2(stage):
    redis_server = stage.redis()
    path = stage.folder / "managed.conf"
    path.write_text("[namespace m]\nprefix = m:\nformat = managed\nmemory = 8mb\nttl = 1h\nmode = bounded 30s\ncompress-min = 0\n")
    data = random.Random(1).randbytes(LARGE)
    nodes = [stage.node(str(path), *MEMORY, l2=redis_server) for _ in range(2)]
    with nodes[0].wire() as conn:
        assert conn.ask("SET", "m:large", data) == b"OK"
        assert conn.ask("SET", "m:middle", data[:200_000]) == b"OK"
        assert conn.ask("SET", "m:small", "v") == b"OK"
    nodes[1].catch_up()
    warm.joined(redis_server, 2)
    before = sent(redis_server)
    job = warm.run(nodes[1], {"pattern": "m:*"}, target="self")
    assert (job["state"], job["total"], job["loaded"], job["skipped"]) == ("done", 3, 2, 1)
    assert sent(redis_server) - before < LITTLE
    redis_server.client().config_resetstat()
    with nodes[1].wire() as conn:
        assert conn.ask("GET", "m:small") == b"v" and conn.ask("GET", "m:middle") == data[:200_000]
        assert redis_server.calls("pttl") == 0, "in front of each GET of ours; beats GET, too"
        assert conn.ask("GET", "m:large") == data
