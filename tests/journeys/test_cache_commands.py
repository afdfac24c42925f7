# SPDX-License-Identifier: BSD-3-Clause
"""CACHE.*: the bus' numbering, who is on it, invalidation on all nodes at once, and why a key is where it is.

Two nodes, one Redis. SYNC promises that no live node serves the old value as fresh once it is answered; a frozen node
is live until its own fence is closed, T(1 + rho) after the question at the latest.
"""

import signal

import pytest

import wire
from harness import BOUND_S, SLACK_S, ask_timed, serves_hits, stand_still, until
from proxy import FaultProxy

pytestmark = pytest.mark.own

LIMIT_WAITERS = 4096  # protocol/limits.h

NODE_FIELDS = [b"id", b"address", b"state", b"applied_seq", b"bound_ms", b"hit_ratio", b"weight", b"load", b"age_ms", b"disagreement", b"self"]
EXPLAIN_FIELDS = [b"key", b"namespace", b"format", b"mode", b"tier", b"state", b"type", b"age_ms", b"ttl_ms", b"stamp_age_ms",
                  b"version", b"written_ms_ago", b"load_ms", b"tags", b"why", b"invalidated_after_seq", b"invalidated_until_seq", b"invalidated_ms_ago", b"invalidated_by"]


def as_map(reply):
    """RESP3's map, or RESP2's flat pairs."""
    if isinstance(reply, wire.Map):
        return {name: value for name, value in reply}
    return dict(zip(reply[::2], reply[1::2]))


def explain(conn, key):
    return as_map(conn.ask("CACHE.EXPLAIN", key))


def warm_until_l1(conn, key):
    """Reads until the value is in L1: an announcement of its write may still be on its way and end it."""
    def is_here():
        conn.ask("GET", key)
        return explain(conn, key)[b"tier"] == b"l1"
    until(is_here, 5, f"{key} is in L1")


# --- LASTSEQ and WAITSEQ ---

def test_a_seq_of_a_new_epoch_is_not_reached_by_who_has_not_heard_of_it(stage):
    """FLUSHALL takes the counter away; what is counted after it must not be mistaken for what was counted before."""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        a, b = stage.node("--mode", "bounded 30s", l2=redis_server), stage.node("--mode", "bounded 30s", l2=proxy.url)
        with a.wire() as on_a, b.wire() as on_b:
            on_a.ask("SET", "k", "old")
            until(lambda: serves_hits(b, on_b, "k"), 5, "the old value is in the L1 of b")
            for _ in range(20):
                on_b.ask("CACHE.LASTSEQ")
            proxy.freeze("down")
            on_a.ask("FLUSHALL")
            on_a.ask("SET", "k", "new")
            until(lambda: a.coherence_state() == "SYNCED", 5)
            seq = on_a.ask("CACHE.LASTSEQ")
            reply = on_b.ask("CACHE.WAITSEQ", seq, 300)
            assert isinstance(reply, wire.Error) and reply.startswith(b"STALE"), reply
            proxy.heal()
            assert on_b.ask("CACHE.WAITSEQ", seq, 20_000) == b"OK"
            assert on_b.ask("GET", "k") == b"new"


def test_what_was_acknowledged_before_lastseq_is_seen_after_waitseq(pair):
    a, b = pair
    for turn in range(100):
        b.ask("GET", "seq")
        a.ask("SET", "seq", str(turn))
        seq = a.ask("CACHE.LASTSEQ")
        assert isinstance(seq, int) and seq > 0
        assert b.ask("CACHE.WAITSEQ", seq, 1000) == b"OK"
        assert b.ask("GET", "seq") == b"%d" % turn, "the other node reads what was written, at once"


def test_lastseq_in_a_pipeline_covers_the_write_in_front_of_it(pair):
    a, b = pair
    for turn in range(50):
        b.ask("GET", "seq")
        answer, seq = a.pipeline([("SET", "seq", f"p{turn}"), ("CACHE.LASTSEQ",)])
        assert answer == b"OK"
        replies = b.pipeline([("CACHE.WAITSEQ", seq, 1000), ("GET", "seq")])
        assert replies == [b"OK", b"p%d" % turn], "what is pipelined behind a wait runs after it"


def test_seqs_rise_on_all_nodes_together(pair):
    a, b = pair
    seqs = [conn.ask("CACHE.LASTSEQ") for conn in (a, b, a, b, a)]
    assert seqs == sorted(set(seqs))


def test_waitseq_of_the_future_is_stale_after_its_time(pair):
    a, _ = pair
    seq = a.ask("CACHE.LASTSEQ")
    reply, took_s = ask_timed(a, "CACHE.WAITSEQ", seq + 100000, 60)
    assert isinstance(reply, wire.Error) and reply == b"STALE not applied within 60 ms"
    assert 0.058 <= took_s < 0.06 + SLACK_S  # clocks count whole milliseconds
    assert a.ask("CACHE.WAITSEQ", seq + 100000, 0) == b"STALE not applied within 0 ms"
    assert a.ask("CACHE.WAITSEQ", seq, 0) == b"OK"
    reply, took_s = ask_timed(a, "CACHE.WAITSEQ", seq + 2, 5000)  # beats come every T/4, and each has a number
    assert reply == b"OK" and took_s < BOUND_S + SLACK_S


def test_many_wait_at_once_and_share_markers(two_nodes, pair):
    del pair
    before = int(two_nodes[0].info()["markers_sent"])
    conns = [two_nodes[0].wire() for _ in range(50)]
    for conn in conns:
        conn.send(wire.encode(("CACHE.LASTSEQ",)) * 20)
    for conn in conns:
        seqs = [conn.read() for _ in range(20)]
        assert seqs == sorted(seqs) and seqs[0] > 0
        conn.close()
    sent = int(two_nodes[0].info()["markers_sent"]) - before
    print(f"1000 calls, {sent} markers")
    assert sent < 1000


# --- NODES ---

@pytest.mark.parametrize("proto", [2, 3])
def test_nodes_tells_of_both_nodes_on_both(two_nodes, pair, proto):
    del pair
    by_node = []
    for node in two_nodes:
        with node.wire(proto=proto) as conn:
            reply = conn.ask("CACHE.NODES")
        assert all(isinstance(one, wire.Map if proto == 3 else list) for one in reply)
        maps = [as_map(one) for one in reply]
        assert all(list(one) == NODE_FIELDS for one in maps)
        me = [one for one in maps if one[b"self"] == (True if proto == 3 else 1)]
        assert len(maps) >= 2 and len(me) == 1  # and other tests' nodes, if they began before
        assert me[0][b"address"] == f"127.0.0.1:{node.port}".encode()
        by_node.append(maps)
        for one in maps:
            assert len(one[b"id"]) == 16 and int(one[b"id"], 16)
            assert one[b"state"] == b"SYNCED" and one[b"bound_ms"] == 1000
            assert one[b"applied_seq"] > 0 and 0 <= one[b"age_ms"] < 1000 * (BOUND_S + SLACK_S)
            assert 0 <= float(one[b"hit_ratio"]) <= 1 and one[b"load"] >= 0
    assert [one[b"id"] for one in by_node[0]] == [one[b"id"] for one in by_node[1]]
    assert {one[b"address"] for one in by_node[0]} == {one[b"address"] for one in by_node[1]}


def test_a_node_that_is_killed_is_gone_after_the_bound(stage):
    redis_server = stage.redis()
    nodes = [stage.node(l2=redis_server) for _ in range(2)]
    with nodes[0].wire() as conn:
        until(lambda: len(conn.ask("CACHE.NODES")) == 2, 5, "both are heard")
        nodes[1].process.kill()

        def states():
            return sorted(as_map(one)[b"state"] for one in conn.ask("CACHE.NODES"))
        until(lambda: states() == [b"GONE", b"SYNCED"], BOUND_S + 1 + SLACK_S, "the dead node is GONE")
        until(lambda: nodes[0].info()["coherence_nodes"] == "1", 10, "and not counted")


def test_a_node_that_ends_in_order_has_left_at_once(stage):
    redis_server = stage.redis()
    nodes = [stage.node(l2=redis_server) for _ in range(2)]
    with nodes[0].wire() as conn:
        until(lambda: len(conn.ask("CACHE.NODES")) == 2, 5, "both are heard")
        nodes[1].process.signal(signal.SIGTERM)
        assert nodes[1].process.wait() == 0

        def states():
            return sorted(as_map(one)[b"state"] for one in conn.ask("CACHE.NODES"))
        until(lambda: states() == [b"LEFT", b"SYNCED"], BOUND_S / 2, "its goodbye was heard before its T was over")
        until(lambda: nodes[0].info()["coherence_nodes"] == "1", BOUND_S / 2, "and it is not counted")


# --- INVALIDATE ---

def test_invalidate_key_deletes_everywhere_and_counts_here(pair, redis_server):
    a, b = pair
    with redis_server.wire() as direct:
        for name in ("k1", "k2", "k3"):
            a.ask("SET", name, "v")
        for conn in (a, b):
            warm_until_l1(conn, "k1")
            warm_until_l1(conn, "k2")
        seq, dropped = a.ask("CACHE.INVALIDATE", "KEY", "k1", "k2", "k3", "k4")
        assert seq > 0 and dropped == 2
        assert b.ask("CACHE.WAITSEQ", seq, 1000) == b"OK"
        assert [b.ask("GET", name) for name in ("k1", "k2", "k3")] == [wire.NULL_BULK] * 3
        assert direct.ask("EXISTS", "k1", "k2", "k3") == 0


def test_invalidate_key_is_of_the_selected_database(pair):
    a, b = pair
    a.ask("SET", "k", "zero")
    b.ask("SELECT", "3")
    b.ask("SET", "k", "three")
    b.ask("CACHE.INVALIDATE", "KEY", "k", "SYNC", "2000")
    assert a.ask("GET", "k") == b"zero" and b.ask("GET", "k") == wire.NULL_BULK
    b.ask("SELECT", "0")


def test_after_sync_no_node_serves_the_old_value(pair):
    a, b = pair
    for turn in range(100):
        a.ask("SET", "s", f"v{turn}")
        b.ask("GET", "s")
        b.ask("GET", "s")
        seq, _ = a.ask("CACHE.INVALIDATE", "KEY", "s", "SYNC", "2000")
        assert seq > 0
        assert b.ask("GET", "s") == wire.NULL_BULK


def test_invalidate_all_empties_every_l1_and_leaves_l2(pair, two_nodes, redis_server):
    a, b = pair
    for i in range(20):
        a.ask("SET", f"all{i}", "v")
    for conn in (a, b):
        for i in range(20):
            warm_until_l1(conn, f"all{i}")
    floor = two_nodes[1].info()["coherence_floor_ms"]
    seq, dropped = a.ask("CACHE.INVALIDATE", "ALL", "SYNC", "2000")
    assert seq > 0 and dropped >= 20
    assert two_nodes[0].l1_items() == 0 and two_nodes[1].l1_items() == 0
    with redis_server.wire() as direct:
        assert direct.ask("EXISTS", *[f"all{i}" for i in range(20)]) == 20
    assert b.ask("GET", "all7") == b"v"
    assert two_nodes[1].info()["coherence_floor_ms"] == floor, "nothing became suspect: it is gone"
    assert two_nodes[1].coherence_state() == "SYNCED"


def test_invalidate_all_of_a_namespace_and_of_none(pair, two_nodes):
    a, b = pair
    warm_until_l1(b, "warm up")
    assert a.ask("CACHE.INVALIDATE", "ALL", "NS", "default", "SYNC", "2000")[0] > 0
    assert two_nodes[1].l1_items() == 0
    assert a.ask("CACHE.INVALIDATE", "ALL", "NS", "nobody") == b"ERR no such namespace 'nobody'"


def test_invalidate_of_a_namespace_leaves_the_others(stage):
    """By name, on both nodes; the largest T of a node's namespaces is what the others hear of it."""
    redis_server = stage.redis()
    nodes = []
    for i in range(2):
        path = stage.folder / f"spaces{i}.conf"
        path.write_text("[namespace response]\nprefix = resp:\nmode = bounded 3s\nmemory = 8mb\n")
        nodes.append(stage.node(str(path), l2=redis_server))
    with nodes[0].wire() as a, nodes[1].wire() as b:
        for node in nodes:
            until(lambda node=node: node.info()["coherence_nodes"] == "2", 5, "both are heard")
        a.ask("MSET", "resp:1", "v", "plain", "v")
        for conn in (a, b):
            warm_until_l1(conn, "resp:1")
            warm_until_l1(conn, "plain")
        assert explain(a, "resp:1")[b"namespace"] == b"response"
        assert explain(a, "resp:1")[b"mode"] == b"bounded 3000ms"
        assert [as_map(one)[b"bound_ms"] for one in b.ask("CACHE.NODES")] == [3000, 3000]
        seq, dropped = a.ask("CACHE.INVALIDATE", "ALL", "NS", "response", "SYNC", "5000")
        assert seq > 0 and dropped == 1
        for conn in (a, b):
            assert explain(conn, "resp:1")[b"tier"] == b"l2" and explain(conn, "plain")[b"tier"] == b"l1"
        reply = a.ask("CACHE.INVALIDATE", "KEY", "resp:1", "plain", "NS", "response")
        assert reply.startswith(b"ERR a key is not in namespace 'response': ")
        assert a.ask("EXISTS", "resp:1", "plain") == 2
        assert a.ask("CACHE.INVALIDATE", "KEY", "resp:1", "NS", "response")[0] > 0
        assert a.ask("EXISTS", "resp:1", "plain") == 1


def test_a_key_called_as_an_option_is_named_alone(pair):
    """Among others it would be an option that was forgotten at the end: nothing is done then."""
    a, _ = pair
    a.ask("MSET", "sync", "1", "100", "2", "ns", "1", "soft", "2", "dryrun", "3", "k", "v")
    for words in (["sync", "100"], ["dryrun", "k"], ["k", "SOFT", "100"], ["k", "NS"], ["k", "SYNC"]):
        assert "for an option behind the last name" in str(a.ask("CACHE.INVALIDATE", "KEY", *words)), words
    assert a.ask("EXISTS", "sync", "100", "dryrun", "k") == 4
    assert a.ask("CACHE.INVALIDATE", "KEY", "ns", "sync", "1000")[0] > 0
    for name in ("soft", "sync", "dryrun"):
        assert a.ask("CACHE.INVALIDATE", "KEY", name)[0] > 0
    assert a.ask("EXISTS", "ns", "soft", "sync", "dryrun") == 0


def test_an_error_of_redis_is_the_answer(pair, redis_server):
    """UNLINK refused by Redis itself: nothing is marked, its words are passed on."""
    a, _ = pair
    with redis_server.wire() as direct:
        direct.ask("CONFIG", "SET", "min-replicas-to-write", "1")
        try:
            reply = a.ask("CACHE.INVALIDATE", "KEY", "k")
            assert isinstance(reply, wire.Error) and reply.startswith(b"NOREPLICAS")
        finally:
            direct.ask("CONFIG", "SET", "min-replicas-to-write", "0")


def test_sync_takes_less_than_a_millisecond_when_all_is_well(pair):
    a, b = pair
    a.ask("CACHE.INVALIDATE", "KEY", "fast", "SYNC", "1000")
    b.ask("GET", "fast")
    times = sorted(ask_timed(a, "CACHE.INVALIDATE", "KEY", "fast", "SYNC", "1000")[1] for _ in range(300))
    markers = sorted(ask_timed(a, "CACHE.LASTSEQ")[1] for _ in range(300))
    print(f"SYNC on two nodes: p50 {times[150] * 1e3:.3f} ms, p99 {times[297] * 1e3:.3f} ms; "
          f"LASTSEQ: p50 {markers[150] * 1e3:.3f} ms, p99 {markers[297] * 1e3:.3f} ms")
    assert times[150] < 0.1, "far below the bound, whatever else the machine does"


# --- SYNC and nodes in trouble ---

def test_sync_waits_for_a_frozen_node_until_it_is_fenced_and_not_longer(stage):
    redis_server = stage.redis()
    a, b = [stage.node(l2=redis_server) for _ in range(2)]
    with a.wire() as ca, b.wire() as cb:
        for node in (a, b):
            until(lambda node=node: node.info()["coherence_nodes"] == "2", 5, "both are heard")
        until(lambda: isinstance(ca.ask("CACHE.INVALIDATE", "KEY", "x", "SYNC", "50"), list), 5, "SYNC is quick")
        ca.ask("SET", "k", "old")
        until(lambda: cb.ask("GET", "k") == b"old" and explain(cb, "k")[b"state"] == b"fresh", 5, "it is in L1 of b")
        stand_still(b.process)
        reply, took_s = ask_timed(ca, "CACHE.INVALIDATE", "KEY", "k", "SYNC", "20")
        assert reply == b"STALE not applied on all nodes within 20 ms: it is done, and the others follow within their bound" and took_s < 0.02 + SLACK_S
        cb.send(wire.encode(("GET", "k")))  # it waits in the socket of the frozen node
        (seq, _), took_s = ask_timed(ca, "CACHE.INVALIDATE", "KEY", "k", "SYNC", "10000")
        print(f"SYNC with a frozen node: {took_s * 1e3:.0f} ms, bound {BOUND_S * 1e3:.0f} ms")
        assert seq > 0
        assert took_s <= BOUND_S * 1.001 + 0.005 + SLACK_S / 5
        b.process.signal(signal.SIGCONT)
        assert cb.read() == wire.NULL_BULK, "the first thing it serves is not the old value"
        _, took_s = ask_timed(ca, "CACHE.INVALIDATE", "KEY", "k", "SYNC", "10000")
        assert took_s < BOUND_S + SLACK_S


def test_an_invalidation_that_too_many_calls_wait_beside_says_what_it_did(stage):
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    redis_server.client().set("k", "v")
    waiting = [node.socket() for _ in range(LIMIT_WAITERS)]
    request = wire.encode(("CACHE.WAITSEQ", str(1 << 60), "60000"))
    for sock in waiting:
        sock.sendall(request)
    until(lambda: node.info()["coherence_waiters"] == str(LIMIT_WAITERS), 20, "no more may wait")
    with node.wire() as conn:
        for words in (("KEY", "k"), ("KEY", "k", "SYNC", "1000"), ("ALL",)):
            assert conn.ask("CACHE.INVALIDATE", *words) == \
                b"STALE invalidated, but not waited for: too many calls wait for the bus"
            assert redis_server.client().get("k") is None, "it says so"
        assert conn.ask("CACHE.LASTSEQ") == b"BUSY too many calls wait for the bus", "here nothing was done"
    for sock in waiting:
        sock.close()


def test_sync_without_the_bus_ends_at_its_deadline(stage):
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    with node.wire() as conn:
        redis_server.process.signal(signal.SIGSTOP)
        try:
            reply, took_s = ask_timed(conn, "CACHE.LASTSEQ")
            assert reply == b"STALE no marker came home within 2000 ms" and took_s < 2 + SLACK_S
        finally:
            redis_server.process.signal(signal.SIGCONT)
        until(lambda: isinstance(conn.ask("CACHE.LASTSEQ"), int), 10, "markers come home again")


def test_without_l2_a_marker_is_refused_at_once(stage):
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    redis_server.process.kill()
    with node.wire() as conn:
        until(lambda: conn.ask("GET", "k").startswith(b"L2DOWN "), 10, "it is known to be down")
        for words in (("CACHE.LASTSEQ",), ("CACHE.INVALIDATE", "ALL"), ("CACHE.INVALIDATE", "KEY", "k", "SYNC", "5000"),
                      ("CACHE.FETCH", "k", "ATLEAST", str(1 << 60))):
            reply, took_s = ask_timed(conn, *words)
            assert reply.startswith(b"L2DOWN L2 cannot be asked: ") and took_s < SLACK_S, (words, reply, took_s)


def test_who_waits_gets_an_answer_after_a_flush_by_a_stranger(stage):
    """FLUSHALL begins a new epoch: markers on their way prove nothing and are sent again."""
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    with node.wire() as conn, redis_server.wire() as direct:
        for _ in range(30):
            conn.send(wire.encode(("CACHE.LASTSEQ",)))
            direct.ask("FLUSHALL")
            assert isinstance(conn.read(), int)
            assert isinstance(conn.ask("CACHE.LASTSEQ"), int)


def test_a_client_that_leaves_while_it_waits_leaves_nothing_behind(two_nodes, pair):
    a, _ = pair
    seq = a.ask("CACHE.LASTSEQ")
    for _ in range(20):
        with two_nodes[0].wire() as conn:
            conn.send(wire.encode(("CACHE.WAITSEQ", seq + 100000, 300)))
    until(lambda: two_nodes[0].info()["coherence_waiters"] == "0", 5, "the waits ended")
    assert a.ask("PING") == b"PONG"


def test_a_node_that_ends_answers_who_waits(stage):
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    with node.wire() as conn:
        seq = conn.ask("CACHE.LASTSEQ")
        conn.send(wire.encode(("CACHE.WAITSEQ", seq + 100000, 60000)))
        until(lambda: node.info()["coherence_waiters"] == "1", 5, "it waits")
        node.process.signal(signal.SIGTERM)
        reply = conn.read()
        assert isinstance(reply, wire.Error) and reply.startswith(b"STALE not applied"), reply
    assert node.process.wait(10) == 0


# --- EXPLAIN ---

@pytest.mark.parametrize("proto", [2, 3])
def test_explain_has_its_shape_in_both_protocols(two_nodes, pair, proto):
    del pair
    with two_nodes[0].wire(proto=proto) as conn:
        reply = conn.ask("CACHE.EXPLAIN", "no such key")
        assert isinstance(reply, wire.Map if proto == 3 else list)
        it = as_map(reply)
        assert list(it) == EXPLAIN_FIELDS
        assert it[b"invalidated_by"] is None if proto == 3 else it[b"invalidated_by"] == wire.NULL_BULK
        assert (it[b"tier"], it[b"state"], it[b"ttl_ms"]) == (b"none", b"absent", -2)
        assert it[b"age_ms"] == it[b"invalidated_ms_ago"] == it[b"invalidated_after_seq"] == -1


def test_explain_follows_a_key_from_l2_to_l1_and_out_again(pair):
    a, b = pair
    b.ask("SET", "story", "v", "PX", "60000")
    seq = b.ask("CACHE.LASTSEQ")
    assert a.ask("CACHE.WAITSEQ", seq, 1000) == b"OK"
    it = explain(a, "story")
    assert (it[b"tier"], it[b"state"]) == (b"l2", b"absent") and 50000 < it[b"ttl_ms"] <= 60000
    assert it[b"invalidated_by"] == b"announced by Redis"
    assert 0 <= it[b"invalidated_after_seq"] < seq and it[b"invalidated_until_seq"] == it[b"invalidated_after_seq"] + 1
    assert 0 <= it[b"invalidated_ms_ago"] < 1000 * (BOUND_S + SLACK_S)
    warm_until_l1(a, "story")
    it = explain(a, "story")
    assert (it[b"tier"], it[b"state"], it[b"namespace"]) == (b"l1", b"fresh", b"default")
    assert 50000 < it[b"ttl_ms"] <= 60000
    assert 0 <= it[b"age_ms"] <= it[b"stamp_age_ms"] + 1 and it[b"age_ms"] <= 1000
    assert explain(b, "story")[b"key"] == b"story"
    b.ask("UNLINK", "story")
    until(lambda: explain(a, "story")[b"tier"] == b"none", BOUND_S + SLACK_S, "it is gone")


def test_explain_is_of_the_selected_database(pair):
    a, _ = pair
    a.ask("SET", "d", "v")
    warm_until_l1(a, "d")
    a.ask("SELECT", "5")
    assert explain(a, "d")[b"tier"] == b"none"
    a.ask("SELECT", "0")
    assert explain(a, "d")[b"tier"] == b"l1"


def test_explain_says_suspect_and_fenced_and_why(stage):
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    with node.wire() as conn, redis_server.wire() as direct:
        conn.ask("SET", "k", "v")
        warm_until_l1(conn, "k")
        direct.ask("PUBLISH", "__redis__:invalidate", "not a list of keys")  # forged: everything is suspect
        until(lambda: explain(conn, "k")[b"state"] == b"suspect", 5, "it is suspect")
        it = explain(conn, "k")
        assert it[b"tier"] == b"l1" and b"next read asks L2" in it[b"why"]
        # Its next read makes it fresh, or the one after: a read in the very millisecond of the alarm is suspect, too.
        until(lambda: conn.ask("GET", "k") == b"v" and explain(conn, "k")[b"state"] == b"fresh", 5, "it is fresh")
        redis_server.process.kill()
        until(lambda: explain(conn, "k")[b"state"] == b"fenced", BOUND_S + SLACK_S, "it is fenced")
        it = explain(conn, "k")
        assert it[b"age_ms"] > 500 * BOUND_S and b"cannot prove" in it[b"why"]  # read after the newest beat left
        assert explain(conn, "elsewhere")[b"tier"] == b"unknown", "L2 cannot be asked"


# --- shapes, rights, no L2 ---

WRONG = [
    (("CACHE.LASTSEQ", "x"), b"ERR wrong number of arguments for 'cache.lastseq' command"),
    (("CACHE.WAITSEQ", "1"), b"ERR wrong number of arguments for 'cache.waitseq' command"),
    (("CACHE.WAITSEQ", "x", "1"), b"ERR seq is not an integer or out of range: 'x' at argument 1"),
    (("CACHE.WAITSEQ", "-1", "1"), b"ERR seq is not an integer or out of range: '-1' at argument 1"),
    (("CACHE.WAITSEQ", "1", "x"), b"ERR timeout is not an integer or out of range: 'x' at argument 2"),
    (("CACHE.WAITSEQ", "1", "-1"), b"ERR timeout is negative: '-1' at argument 2"),
    (("CACHE.WAITSEQ", "1", "99999999999"), b"ERR timeout is out of range: '99999999999' at argument 2"),
    (("CACHE.NODES", "x"), b"ERR wrong number of arguments for 'cache.nodes' command"),
    (("CACHE.EXPLAIN",), b"ERR wrong number of arguments for 'cache.explain' command"),
    (("CACHE.EXPLAIN", "a", "b"), b"ERR wrong number of arguments for 'cache.explain' command"),
    (("CACHE.INVALIDATE",), b"ERR wrong number of arguments for 'cache.invalidate' command"),
    (("CACHE.INVALIDATE", "KEY"), b"ERR wrong number of arguments for 'cache.invalidate' command"),
    (("CACHE.INVALIDATE", "WHAT", "x"), b"ERR CACHE.INVALIDATE takes KEY, TAG, PREFIX, PATTERN or ALL, not 'WHAT'"),
    (("CACHE.INVALIDATE", "TAG"), b"ERR wrong number of arguments for 'cache.invalidate' command"),
    (("CACHE.INVALIDATE", "ALL", "x"), b"ERR CACHE.INVALIDATE ALL takes options only, not 'x'"),
    (("CACHE.INVALIDATE", "ALL", "x", "SOFT"), b"ERR CACHE.INVALIDATE ALL takes options only, not 'x'"),
    (("CACHE.INVALIDATE", "KEY", "k", "SYNC", "x"), b"ERR timeout is not an integer or out of range: 'x' at argument 4"),
    (("CACHE.INVALIDATE", "KEY", "k", "SYNC", "1", "SOFT", "sync", "2"), b"ERR CACHE.INVALIDATE takes SYNC once"),
    (("CACHE.INVALIDATE", "KEY", "k", "DRYRUN", "dryrun"), b"ERR CACHE.INVALIDATE takes DRYRUN once"),
    (("CACHE.INVALIDATE", "TAG", "t", "ANY", "ALL"), b"ERR CACHE.INVALIDATE takes ANY or ALL once"),
    (("CACHE.INVALIDATE", "KEY", "k", "NS", "nobody"), b"ERR no such namespace 'nobody'"),
    (("CACHE.INVALIDATE", "KEY", "k", "NS", ""), b"ERR no such namespace ''"),
    (("CACHE.INVALIDATE", "ALL", "NS", ""), b"ERR no such namespace ''"),
    (("CACHE.INVALIDATE", "TAG", "t"), b"ERR CACHE.INVALIDATE TAG is for managed namespaces, here is none"),
    (("CACHE.INVALIDATE", "TAG", "t", "NS", "default"),
     b"ERR CACHE.INVALIDATE TAG is for managed namespaces, 'default' is plain"),
    (("CACHE", "WHAT"), b"ERR unknown subcommand 'WHAT'. Try CACHE HELP."),
]


@pytest.mark.parametrize("words, error", WRONG, ids=[" ".join(words) for words, _ in WRONG])
def test_wrong_arguments_get_an_error_that_names_them(client, node, words, error):
    del client
    with node.wire() as conn:
        reply = conn.ask(*words)
        assert isinstance(reply, wire.Error) and reply == error
        assert conn.ask("PING") == b"PONG"


def test_nothing_is_said_before_the_login(stage):
    node = stage.node("--requirepass", "secret", l2=stage.redis())
    with node.wire() as conn:
        for words in (("CACHE.LASTSEQ",), ("CACHE.WAITSEQ", "0", "0"), ("CACHE.NODES",), ("CACHE.EXPLAIN", "k"),
                      ("CACHE.INVALIDATE", "ALL"), ("CACHE", "HELP")):
            assert conn.ask(*words) == b"NOAUTH Authentication required.", words


def test_help_names_every_verb_and_every_field(node_with_l2):
    with node_with_l2.wire() as conn:
        text = b"\n".join(conn.ask("CACHE", "HELP"))
    for verb in (b"LASTSEQ", b"WAITSEQ", b"NODES", b"INVALIDATE KEY", b"INVALIDATE ALL", b"EXPLAIN"):
        assert b"\n" + verb in text, verb
    words = text.split()
    for field in NODE_FIELDS + EXPLAIN_FIELDS:
        assert field in words, field


def test_alone_there_is_nothing_to_wait_for(node_alone):
    with node_alone.wire() as conn:
        conn.ask("FLUSHALL")
        assert conn.ask("CACHE.LASTSEQ") == 0
        assert conn.ask("CACHE.WAITSEQ", "0", "0") == b"OK"
        reply, took_s = ask_timed(conn, "CACHE.WAITSEQ", "1", "60000")
        assert reply.startswith(b"STALE this node has no L2") and took_s < SLACK_S
        (only,) = conn.ask("CACHE.NODES")
        assert as_map(only)[b"state"] == b"ALONE" and as_map(only)[b"self"] == 1
        conn.ask("MSET", "a", "1", "b", "2", "c", "3")
        assert conn.ask("CACHE.INVALIDATE", "KEY", "a", "b", "nope", "DRYRUN") == [0, 2]
        assert conn.ask("CACHE.INVALIDATE", "KEY", "a", "b", "nope") == [0, 2]
        assert conn.ask("DBSIZE") == 1
        it = explain(conn, "c")
        assert (it[b"tier"], it[b"state"], it[b"mode"], it[b"ttl_ms"]) == (b"l1", b"fresh", b"alone", -1)
        assert conn.ask("CACHE.INVALIDATE", "ALL", "DRYRUN") == [0, 1]
        assert conn.ask("CACHE.INVALIDATE", "ALL", "SOFT") == \
            b"ERR CACHE.INVALIDATE with SOFT needs an L2: this node's L1 is the only copy"
        assert conn.ask("CACHE.INVALIDATE", "ALL", "SYNC", "100") == [0, 1]
        assert conn.ask("DBSIZE") == 0
        assert explain(conn, "c")[b"tier"] == b"none"


def test_metrics_count_markers_and_waits(two_nodes, pair):
    a, _ = pair
    a.ask("CACHE.LASTSEQ")
    a.ask("CACHE.WAITSEQ", "9007199254740991", "1")
    _, text = two_nodes[0].admin("/metrics")
    for line in ("terrace_markers_total ", 'terrace_bus_waits_total{result="ok"} ',
                 'terrace_bus_waits_total{result="timeout"} '):
        found = [one for one in text.splitlines() if one.startswith(line)]
        assert len(found) == 1 and int(found[0].split()[-1]) > 0, line
