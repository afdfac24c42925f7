# SPDX-License-Identifier: BSD-3-Clause
"""Managed values in Redis take less room: LZ4, and a dictionary per namespace that the nodes share."""

import json
import pathlib
import random
import re

import pytest

import wire
from envelopes import LZ4, LZ4_DICTIONARY, RAW, unseal
from harness import until
from test_managed import configured

pytestmark = pytest.mark.own

CONFIG = """
[namespace rows]
prefix = r:
format = managed
[namespace twins]
prefix = t:
format = managed
[namespace plain]
prefix = p:
format = managed
compress-min = 0
"""
SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "tiers" / "scripts" / "dictionary.lua"
COUNT = 1200  # more than a dictionary is learned from


def row(number):
    rng = random.Random(number)
    return json.dumps({
        "id": number, "name": f"user{rng.randrange(10**6)}", "email": f"user{rng.randrange(10**6)}@example.com",
        "active": rng.random() < 0.9, "roles": rng.sample(["reader", "writer", "operator", "guest"], 2),
        "address": {"street": f"{rng.randrange(200)} Long Street", "city": rng.choice(["Berlin", "Lisbon", "Oslo"]),
                    "country": "somewhere in Europe", "verified": True},
        "settings": {"language": rng.choice(["en", "de", "pt"]), "timezone": "Europe/Berlin", "newsletter": False,
                     "notifications": {"email": True, "push": False, "sms": False}, "theme": "dark"},
        "permissions": [{"resource": name, "read": True, "write": rng.random() < 0.5} for name in ("orders", "invoices", "reports")],
        "links": {"self": f"https://api.example.com/v2/users/{number}", "orders": f"https://api.example.com/v2/users/{number}/orders"},
    }).encode()


def write(conn, numbers, key="r:%d"):
    assert conn.pipeline([("SET", key % n, row(n)) for n in numbers]) == [b"OK"] * len(numbers)


def counted(node, result):
    text = node.admin("/metrics")[1]
    return int(re.search(r'^terrace_dictionaries_total\{result="%s"\} (\d+)$' % result, text, re.M).group(1))


@pytest.fixture(scope="module")
def server(redis_server):
    return redis_server.client()


@pytest.fixture(scope="module")
def node(module_stage, redis_server):
    """It has learned a dictionary, and has written all rows with it."""
    node = configured(module_stage, CONFIG, l2=redis_server)
    node.wait_synced()
    with node.wire() as conn:
        write(conn, range(COUNT))
        until(lambda: counted(node, "brought") == 1, 5.0, "a dictionary is learned and brought into L2")
        write(conn, range(COUNT))
    return node


def test_json_takes_a_quarter_of_its_bytes_once_a_dictionary_is_there(node, server):
    stored = [server.get(f"r:{n}") for n in range(COUNT)]
    kinds = {unseal(value).kind for value in stored}
    assert kinds == {LZ4_DICTIONARY}
    plain = sum(len(row(n)) for n in range(COUNT))
    assert 4 * sum(len(value) for value in stored) <= plain, (plain, sum(len(value) for value in stored))
    with node.wire() as conn:
        for n in (0, 7, COUNT - 1):
            assert conn.ask("GET", f"r:{n}") == row(n)


def test_without_a_dictionary_and_without_compression_the_kinds_say_so(node, server):
    with node.wire() as conn:
        conn.ask("SET", "p:1", b"a" * 4000)
        conn.ask("SET", "r:long", b"a" * 100000)
        conn.ask("SET", "r:short", b"a" * 63)
        conn.ask("SET", "r:noise", bytes(random.Random(1).randbytes(2000)))
        kinds = [unseal(server.get(key)).kind for key in ("p:1", "r:long", "r:short", "r:noise")]
        assert kinds == [RAW, LZ4, RAW, RAW]
        assert conn.ask("GET", "r:long") == b"a" * 100000


def test_a_node_that_starts_later_reads_them_and_writes_with_the_same(node, server, module_stage, redis_server):
    later = configured(module_stage, CONFIG, l2=redis_server)
    later.wait_synced()
    with later.wire() as conn:
        assert conn.pipeline([("GET", f"r:{n}") for n in range(100)]) == [row(n) for n in range(100)]
        assert (counted(later, "read"), counted(later, "missing")) == (1, 0)
        used = unseal(server.get("r:0")).dictionary

        def writes_with_it():
            conn.ask("SET", "r:new", row(COUNT))
            return unseal(server.get("r:new")).dictionary == used
        until(writes_with_it, 5.0, "it uses what is current")
    with node.wire() as conn:
        assert conn.ask("GET", "r:new") == row(COUNT)


def test_nodes_that_learn_at_the_same_time_end_up_with_the_same_dictionary(server, module_stage, redis_server):
    nodes = [configured(module_stage, CONFIG, l2=redis_server) for _ in range(2)]
    for each in nodes:
        each.wait_synced()
    with nodes[0].wire() as a, nodes[1].wire() as b:
        for conn, from_number in ((a, 0), (b, COUNT)):
            conn.send(b"".join(wire.encode(("SET", f"t:{n}", row(n))) for n in range(from_number, from_number + COUNT)))
        assert [conn.read() for conn in (a, b) for _ in range(COUNT)] == [b"OK"] * (2 * COUNT)

        def used(conn, key):
            conn.ask("SET", key, row(1))
            return unseal(server.get(key)).dictionary
        until(lambda: used(a, "t:a") == used(b, "t:b") != 0, 5.0, "both write with one dictionary")
        assert sum(counted(each, "brought") for each in nodes) == 1
        assert [conn.ask("GET", key) for conn in (a, b) for key in ("t:a", "t:b")] == [row(1)] * 4
    assert redis_server.client(db=15).hlen("terrace:dict:twins") == 2  # and `current`
    for each in nodes:
        each.end()


def test_the_script_brings_a_dictionary_in_if_nobody_came_before_and_so_many_at_most(redis_server):
    own = redis_server.client(db=15)
    script = own.register_script(SCRIPT.read_text())

    def bring(seen, number):
        return script(keys=["terrace:dict:script"], args=[seen, number, b"bytes %d" % number, 8])
    assert bring("", 1) == b"1"
    assert bring("", 2) == b"1"  # another was faster
    assert own.hgetall("terrace:dict:script") == {b"current": b"1", b"1": b"bytes 1"}
    for number in range(2, 9):
        assert bring(number - 1, number) == b"%d" % number
    assert bring(8, 9) == b"8"  # there are as many as there may be,
    assert bring(8, 3) == b"3"  # but one of them may be current again
    assert own.hlen("terrace:dict:script") == 9
    own.hdel("terrace:dict:script", "3", "current")
    assert bring("", 3) == b"3"  # as when a wrong one was removed
    own.delete("terrace:dict:script")


@pytest.mark.parametrize("harm", ["other bytes", "gone", "no hash"])
def test_without_the_right_dictionary_a_value_is_a_miss_and_no_error(node, server, module_stage, redis_server, harm):
    own = redis_server.client(db=15)
    kept = own.hgetall("terrace:dict:rows")
    number = str(unseal(server.get("r:0")).dictionary).encode()
    if harm == "other bytes":
        own.hset("terrace:dict:rows", number, kept[number][:-1] + b"?")
    elif harm == "gone":
        own.hdel("terrace:dict:rows", number)
    else:
        own.delete("terrace:dict:rows")
        own.set("terrace:dict:rows", "x")
    stranger = configured(module_stage, CONFIG, l2=redis_server)
    stranger.wait_synced()
    try:
        with stranger.wire() as conn:
            assert conn.ask("EXISTS", "r:0") == 0
            assert counted(stranger, "missing") == 1
            assert conn.ask("SET", "r:0", row(0), "NX") == b"OK"  # it knows the version of what it cannot read
            assert conn.ask("GET", "r:0") == row(0)
        with node.wire() as conn:  # who knows it goes on
            assert conn.ask("GET", "r:1") == row(1)
    finally:
        stranger.end()
        own.delete("terrace:dict:rows")
        own.hset("terrace:dict:rows", mapping=kept)
        with node.wire() as conn:
            write(conn, [0])


def test_a_refusal_says_nothing_of_a_dictionary(stage):
    """It could not be read just then: it stays, for whoever can."""
    server = stage.redis()
    client, control = server.client(), server.client(db=15)
    first = configured(stage, CONFIG, l2=server)
    first.wait_synced()
    with first.wire() as conn:
        write(conn, range(COUNT))
        until(lambda: counted(first, "brought") == 1, 5.0, "a dictionary is learned and brought into L2")
        write(conn, range(1))
    first.end()
    before = control.hgetall("terrace:dict:rows")
    assert len(before) == 2
    own = ["~terrace:" + name for name in ("meta", "seq", "nodes", "nothing", "log", "tags", "lease:*")]
    client.execute_command("ACL", "SETUSER", "narrow", "on", "nopass", "&*", "+@all", "~r:*", *own)
    later = configured(stage, CONFIG, "--threads", "1", l2=f"redis://narrow:any@127.0.0.1:{server.port}")
    later.wait_synced()
    with later.wire() as conn:
        assert conn.ask("STRLEN", "r:0") == 0, "a miss"
        assert counted(later, "missing") == 1
        client.execute_command("ACL", "SETUSER", "narrow", "allkeys")
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")  # which makes the node look at once
        seq = int(later.info()["coherence_seq"])
        until(lambda: later.coherence_state() == "SYNCED" and int(later.info()["coherence_seq"]) > seq + 5, 5, "some beats later")
        assert control.hgetall("terrace:dict:rows") == before
