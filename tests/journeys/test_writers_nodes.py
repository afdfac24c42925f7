# SPDX-License-Identifier: BSD-3-Clause
"""A Redis that announces no changes. With `writers = nodes` each write carries its announcement; without, `ttl`."""

import time

import pytest

import wire
from harness import BOUND_S, SLACK_S, documented_rules, log_lines, until
from history_run import finish_load, judge, start_load, wait_begun
from proxy import FaultProxy

pytestmark = pytest.mark.own

NODES = ["--writers", "nodes"]


def deny_tracking(redis_server):
    """The URL of a user who may do all but that."""
    redis_server.client().execute_command(
        "ACL", "SETUSER", "quiet", "reset", "on", ">secret", *documented_rules(), "+flushall", "+flushdb", "+sort",
        "-client|tracking")
    return f"redis://quiet:secret@127.0.0.1:{redis_server.port}"


@pytest.fixture(scope="module")
def quiet(module_stage):
    """(a Redis that announces nothing to nodes, its URL)"""
    redis_server = module_stage.redis()
    return redis_server, deny_tracking(redis_server)


@pytest.fixture(scope="module")
def pair(module_stage, quiet):
    return module_stage.node(*NODES, l2=quiet[1]), module_stage.node(*NODES, l2=quiet[1])


def hits(node):
    return int(node.info()["l1_hits"])


def hot(node, conn, key):
    """Reads until L1 answers."""
    def answered_by_l1():
        before = hits(node)
        conn.ask("GET", key)
        return hits(node) > before
    until(answered_by_l1, 5, f"{key} is in L1")


def get(conn, key):
    reply = conn.ask("GET", key)
    return None if reply is wire.NULL_BULK else reply


# --- coherent for what nodes write ------------------------------------------------------------------------------------

def test_it_says_what_it_found(pair):
    for node in pair:
        fields = node.info()
        assert fields["coherence_tracking"].startswith("no: NOPERM"), fields["coherence_tracking"]
        assert fields["coherence_writers"] == "nodes" and fields["coherence_state"] == "SYNCED"
        assert fields["l2_rights"] == "granted" and fields["l2_rights_missing"] == "CLIENT TRACKING"
        until(lambda node=node: log_lines(node, "l2_untracked"), 10, "the log tells of it")
        assert len(log_lines(node, "l2_untracked")) == 1
        assert "writers=nodes" in fields["ns_default"] and "mode=bounded" in fields["ns_default"]


WRITES = [
    (["SET", "k", "2"], b"OK", b"2"),
    (["SET", "k", "x", "XX", "GET"], b"1", b"x"),
    (["INCR", "k"], 2, b"2"),
    (["INCRBYFLOAT", "k", "0.5"], b"1.5", b"1.5"),
    (["APPEND", "k", "23"], 3, b"123"),
    (["DEL", "k", "other"], 1, None),
    (["MSET", "k", "7", "other", "8"], b"OK", b"7"),
    (["GETSET", "k", "9"], b"1", b"9"),
    (["GETDEL", "k"], b"1", None),
    (["EXPIRE", "k", "0"], 1, None),
    (["RENAME", "k", "renamed"], b"OK", None),
    (["COPY", "renamed", "k", "REPLACE"], 1, b"from"),
    (["SETRANGE", "k", "1", "zz"], 3, b"1zz"),
    (["UNLINK", "k"], 1, None),
    (["FLUSHALL"], b"OK", None),
    (["EVAL", "redis.call('SET','k','s') return {1,'two'}", "0"], [1, b"two"], b"s"),
    (["CACHE.INVALIDATE", "KEY", "k"], None, None),
]


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("words, reply, value", WRITES, ids=[" ".join(words[:2]) for words, _, _ in WRITES])
def test_what_one_node_writes_the_other_knows_at_once(pair, quiet, words, reply, value, proto):
    """Within milliseconds, not at the end of the bound: it was told."""
    one, two = pair
    with one.wire(proto) as a, two.wire(proto) as b, quiet[0].wire() as direct:
        direct.ask("SET", "renamed", "from")  # nobody has read it
        a.ask("SET", "k", "1")
        one.wait_synced()
        two.wait_synced()
        hot(two, b, "k")
        hot(one, a, "k")
        answered = a.ask(*words)
        if reply is not None:
            assert answered == reply
        assert get(a, "k") == value
        began = time.monotonic()
        until(lambda: get(b, "k") == value, BOUND_S + SLACK_S, "the other node sees it")
        assert time.monotonic() - began < 0.7 * BOUND_S + SLACK_S
    for node in pair:
        node.wait_synced()  # FLUSHALL took the nodes' own keys with it


@pytest.mark.parametrize("proto", [2, 3])
def test_errors_are_those_of_redis(pair, proto):
    """When it ran and when it was queued; and what follows in the pipeline is not touched."""
    cases = [["INCR", "text"], ["SET", "k", "v", "EX", "0"], ["SETRANGE", "k", "-1", "x"], ["GETEX", "k", "EX", "no"],
             ["LPUSH", "k", "x"], ["MSET", "k"], ["RENAME", "absent", "k"], ["SET", "k"], ["HSET", "k", "f"],
             ["ZADD", "z", "x", "m"], ["SET", "k", "v", "NX", "XX"]]
    with pair[0].wire(proto) as conn, pair[0].wire(proto) as other:
        conn.ask("SET", "text", "abc")
        conn.ask("SET", "k", "v")
        for words in cases:
            reply, *behind = conn.pipeline([words, ["SET", "behind", "1"], ["GET", "behind"]])
            assert isinstance(reply, wire.Error) and b"EXECABORT" not in reply, (words, reply)
            assert behind == [b"OK", b"1"]
            assert other.ask("GET", "k") == b"v"


def test_pipelines_keep_their_order(pair):
    with pair[0].wire() as conn:
        for round_ in range(20):
            replies = conn.pipeline([words for i in range(50) for words in
                                     (["SET", "p", f"{round_}.{i}"], ["GET", "p"], ["INCR", "count"])])
            assert replies == [value for i in range(50) for value in
                               (b"OK", f"{round_}.{i}".encode(), round_ * 50 + i + 1)]
        conn.ask("DEL", "count")


def test_long_lists_of_keys_take_several_frames(pair):
    one, two = pair
    keys = [f"long:{'x' * 200}:{i}" for i in range(1000)]  # 200 KiB of names
    with one.wire() as a, two.wire() as b:
        a.ask("MSET", *[word for key in keys for word in (key, "1")])
        gets = [["GET", key] for key in keys]
        until(lambda: b.pipeline(gets) == [b"1"] * len(keys) and two.l1_items() >= len(keys), 5, "the other holds them")
        before = int(two.info()["bus_told"])
        assert a.ask("MSET", *[word for key in keys for word in (key, "2")]) == b"OK"
        until(lambda: b.ask("MGET", *keys) == [b"2"] * len(keys), BOUND_S, "all of them are told")
        assert int(two.info()["bus_told"]) - before >= 4
        assert a.ask("DEL", *keys) == len(keys)


def test_namespaces_that_strangers_may_write_fall_to_ttl(stage, quiet):
    """One with its own ttl, one with that of its bound; the others stay what they are."""
    redis_server, url = quiet
    config = stage.folder / "node.conf"
    config.write_text("writers = nodes\n"
                      "[namespace open]\nprefix = o:\nmode = bounded 400ms\n"
                      "[namespace long]\nprefix = l:\nttl = 2500ms\n")
    node = stage.node("--memory", "256mb", str(config), l2=url)
    fields = node.info()
    assert "mode=ttl" in fields["ns_open"] and "ttl_ms=400" in fields["ns_open"]
    assert "mode=ttl" in fields["ns_long"] and "ttl_ms=2500" in fields["ns_long"]
    assert "mode=bounded" in fields["ns_default"]
    with node.wire() as conn, redis_server.wire() as stranger:
        for key, life_s in (("o:k", 0.4), ("l:k", 2.5)):
            stranger.ask("SET", key, "old")
            hot(node, conn, key)
            began = time.monotonic()
            stranger.ask("SET", key, "new")
            until(lambda key=key: conn.ask("GET", key) == b"new", life_s + SLACK_S, "the old value's life is over")
            assert time.monotonic() - began < life_s + SLACK_S


def test_without_any_such_namespace_it_says_none(stage, quiet):
    node = stage.node(l2=quiet[1])
    fields = node.info()
    assert fields["coherence_writers"] == "none" and "mode=ttl" in fields["ns_default"]
    assert "ttl_ms=1000" in fields["ns_default"]


def test_a_redis_without_the_command_at_all(stage):
    """As some services are: CLIENT does not exist."""
    redis_server = stage.redis("--rename-command", "CLIENT", "")
    nodes = [stage.node(*NODES, l2=redis_server), stage.node(*NODES, l2=redis_server)]
    assert "unknown command" in nodes[0].info()["coherence_tracking"]
    with nodes[0].wire() as a, nodes[1].wire() as b:
        for i in range(100):
            assert a.ask("SET", "k", i) == b"OK"
            until(lambda i=i: b.ask("GET", "k") == str(i).encode(), BOUND_S)
        hot(nodes[1], b, "k")


def test_tracking_that_comes_and_goes_changes_the_contract(stage):
    redis_server = stage.redis()
    url = deny_tracking(redis_server)
    node = stage.node(l2=url)
    with node.wire() as conn, redis_server.wire() as admin:
        admin.ask("SET", "k", "1")
        hot(node, conn, "k")
        admin.ask("ACL", "SETUSER", "quiet", "+client|tracking")
        admin.ask("CLIENT", "KILL", "TYPE", "pubsub")
        until(lambda: node.info()["coherence_tracking"] == "yes", 10, "the new bus tracks")
        node.wait_synced()
        assert "mode=bounded" in node.info()["ns_default"] and "ttl_ms=0" in node.info()["ns_default"]
        hot(node, conn, "k")
        admin.ask("SET", "k", "2")
        until(lambda: conn.ask("GET", "k") == b"2", BOUND_S)
        hot(node, conn, "k")
        admin.ask("ACL", "SETUSER", "quiet", "-client|tracking")
        admin.ask("CLIENT", "KILL", "TYPE", "pubsub")
        until(lambda: "mode=ttl" in node.info()["ns_default"], 10, "the contract fell")
        admin.ask("SET", "k", "3")
        until(lambda: conn.ask("GET", "k") == b"3", BOUND_S + SLACK_S, "no value of before lives on")


# --- a fleet in which only some may track --------------------------------------------------------------------------------

def test_a_node_that_may_not_track_works_beside_one_that_may(stage):
    """What a node writes both know within T; what a stranger writes is missed by the one that cannot hear of it, which
    says so; and neither takes the other's stream, which holds other things, for a loss."""
    redis_server = stage.redis()
    deaf = stage.node(*NODES, l2=deny_tracking(redis_server))
    hears = stage.node(*NODES, l2=redis_server)
    fields = {node: node.info() for node in (deaf, hears)}
    assert fields[deaf]["coherence_tracking"].startswith("no: NOPERM") and fields[hears]["coherence_tracking"] == "yes"
    assert all("mode=bounded" in one["ns_default"] for one in fields.values())
    until(lambda: {node.info()["coherence_nodes"] for node in (deaf, hears)} == {"2"}, 5, "they hear each other")
    with deaf.wire() as d, hears.wire() as h, redis_server.wire() as stranger:
        for round_ in range(20):
            writer, reader, node = ((d, h, hears), (h, d, deaf))[round_ % 2]
            assert writer.ask("SET", "k", f"old{round_}") == b"OK"
            until(lambda: get(reader, "k") == f"old{round_}".encode(), BOUND_S + SLACK_S)
            hot(node, reader, "k")
            assert writer.ask("SET", "k", f"new{round_}") == b"OK"
            until(lambda: get(reader, "k") == f"new{round_}".encode(), BOUND_S + SLACK_S, "the other node knows of it")
        hot(hears, h, "k")
        hot(deaf, d, "k")
        stranger.ask("SET", "k", "strange")
        until(lambda: get(h, "k") == b"strange", BOUND_S + SLACK_S, "who tracks hears of strangers")
        assert get(d, "k") == b"new19", "the documented gap: else this test asks for too little"
        assert h.ask("SET", "k", "healed") == b"OK"
        until(lambda: get(d, "k") == b"healed", BOUND_S + SLACK_S, "a node's write ends the gap")
    for node in (deaf, hears):
        seen = node.info()
        assert seen["coherence_state"] == "SYNCED" and seen["coherence_doubts"] == "0"
        assert seen["stream_reports_different"] == "0"


# --- under load -------------------------------------------------------------------------------------------------------

# So many requests take five seconds, and longer on a busy machine: what a run must have seen depends on their number.
LOAD = ["--rate", 5000, "--requests", 25_000, "--keys", 60, "--writes", 25, "--px", 20, "--deletes", 20,
        "--connections", 8, "--pipeline", 2]


def loaded(stage, nodes, redis_server, trouble, seconds_max=50):
    path = stage.folder / "nodes.hist"
    load = start_load(stage, path, nodes, redis_server, seconds_max, "--seed", 11, "--stranger", 0, *LOAD)
    wait_begun(path)
    trouble()
    finish_load(load)
    verdict = judge(path)
    assert verdict.code == 0, verdict.story()
    assert all(hits(node) > 200 for node in nodes)


def test_no_read_breaks_the_contract_under_load(stage):
    redis_server = stage.redis()
    url = deny_tracking(redis_server)
    nodes = [stage.node(*NODES, l2=url), stage.node(*NODES, l2=url)]
    loaded(stage, nodes, redis_server, lambda: None)
    seen = [node.info() for node in nodes]
    assert sum(int(fields["told_writes"]) for fields in seen) > 300
    for fields in seen:
        assert int(fields["bus_told"]) > 300
        assert int(fields["stream_reports_same"]) > 5 and fields["stream_reports_different"] == "0"


def test_a_cut_bus_under_load(stage):
    redis_server = stage.redis()
    url = deny_tracking(redis_server)
    nodes = [stage.node(*NODES, l2=url), stage.node(*NODES, l2=url)]

    def cut():
        with redis_server.wire() as admin:
            for _ in range(3):
                losses = [int(node.info()["bus_losses"]) for node in nodes]
                admin.ask("CLIENT", "KILL", "TYPE", "pubsub")
                until(lambda losses=losses: all(int(node.info()["bus_losses"]) > before
                                                for node, before in zip(nodes, losses)), 5, "the bus was lost")
                for node in nodes:
                    node.wait_synced()
    loaded(stage, nodes, redis_server, cut)


def test_a_frame_that_is_lost_is_found_by_the_stream_hash(stage):
    redis_server = stage.redis()
    url = deny_tracking(redis_server)
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        behind = stage.node(*NODES, l2=proxy.url.replace("redis://", "redis://quiet:secret@"))
        node = stage.node(*NODES, l2=url)
        with node.wire() as writer, behind.wire() as reader:
            for round_ in range(5):
                key = f"lost:{round_}"
                writer.ask("SET", key, "old")
                hot(behind, reader, key)
                proxy.drop("frames", count=1, containing=key.encode())
                assert writer.ask("SET", key, "new") == b"OK"
                until(lambda key=key: reader.ask("GET", key) == b"new", 2 * BOUND_S + SLACK_S, "the loss is found")
            assert proxy.stats()["dropped_frames"] == 5
        assert int(behind.info()["stream_reports_different"]) + int(node.info()["stream_reports_different"]) >= 5
