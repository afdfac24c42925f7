# SPDX-License-Identifier: BSD-3-Clause
"""R8, R9, R10: a subscription that lies. It falls silent one way; it loses, repeats, delays, swaps or damages messages."""

import time

import pytest

from harness import BOUND_S, SLACK_S, until
from load import Load
from rig import BEAT_S, amount, hit_ratio, need, number, synced

KEYS = [f"quiet:{i}" for i in range(200)]


def read_all(conn):
    return conn.pipeline([["GET", key] for key in KEYS])


def fill(redis_server):
    with redis_server.wire() as conn:
        conn.pipeline([["SET", key, "old"] for key in KEYS])


def floors(node):
    return number(node, "floors_raised")


def floors_by(node, *causes):
    """How often these made all values suspect: bus, epoch, hole, stream, malformed, flush."""
    counts = dict(part.split("=") for part in node.info()["floors_raised"].split(","))
    return sum(int(counts[cause]) for cause in causes)


# --- R8 ---

def test_r8_subscription_black_holed_one_way(run):
    """Fenced at T, reconnected within 3 T, nothing flushed: what was there is suspect and asked for once."""
    redis_server = run.stage.redis()
    proxy = run.proxy_to(redis_server)
    node = run.node(proxy.url)
    for turn in range(amount(1, 20)):
        fill(redis_server)
        with node.wire() as conn, redis_server.wire() as stranger:
            until(lambda conn=conn: hit_ratio(node, lambda: read_all(conn)) > 0.99, 5, "hits")
            items, losses = node.l1_items(), number(node, "bus_losses")
            proxy.sever("down", who="bus")
            began = time.monotonic()
            stranger.ask("SET", KEYS[0], f"new {turn}")
            written = time.monotonic()
            fenced_s = reconnected_s = None
            while reconnected_s is None:
                asked = time.monotonic()
                reply = conn.ask("GET", KEYS[0])
                run.count(reads=1)
                if reply == b"old":
                    run.staleness((asked - written) * 1000)
                    assert asked - written <= BOUND_S, "served beyond the bound"
                elif fenced_s is None:
                    assert reply == b"new %d" % turn, reply
                    fenced_s = asked - began
                assert node.l1_items() >= items - 1, "nothing is flushed"
                info = node.info()
                if int(info["bus_losses"]) > losses and info["coherence_state"] == "SYNCED":
                    reconnected_s = time.monotonic() - began
                assert time.monotonic() - began < 3 * BOUND_S + SLACK_S, "not reconnected within 3 T"
            run.counts["fenced_s"] = max(fenced_s, run.counts.get("fenced_s", 0))
            run.counts["reconnected_s"] = max(reconnected_s, run.counts.get("reconnected_s", 0))
            asked_before = number(node, "l2_reads")
            assert read_all(conn)[1:] == [b"old"] * (len(KEYS) - 1)
            assert hit_ratio(node, lambda conn=conn: read_all(conn)) > 0.99, "asked for once, then hits again"
            run.count(revalidated=number(node, "l2_reads") - asked_before)
            assert number(node, "l1_evictions") == 0
        proxy.heal()
        synced(node)


# --- R9 ---

def three_nodes(run):
    """(redis, proxy, nodes): the first node's connections pass the proxy; the others are its witnesses."""
    redis_server = run.stage.redis()
    proxy = run.proxy_to(redis_server)
    nodes = [run.node(proxy.url), run.node(redis_server), run.node(redis_server)]
    need("floors_raised" in nodes[0].info(), "this node does not compare stream hashes")
    return redis_server, proxy, nodes


@pytest.mark.parametrize("messages", ["keys", "frames"])
def test_r9_one_message_lost(run, messages):
    """One announcement of a stranger's write, or one frame, is dropped; the node itself finds out within a beat."""
    redis_server, proxy, (node, _, _) = three_nodes(run)
    fill(redis_server)
    slowest_s = 0.0
    with node.wire() as conn, redis_server.wire() as stranger:
        for turn in range(amount(8, 1000)):
            key, value = KEYS[turn % len(KEYS)], f"new {turn}"
            until(lambda: conn.ask("GET", key) is not None and
                  hit_ratio(node, lambda: conn.ask("GET", key)) == 1.0, 5, "a hit")
            before, dropped = floors(node), proxy.stats()[f"dropped_{messages}"]
            proxy.drop(messages, count=1, containing=key.encode() if messages == "keys" else b"")
            stranger.ask("SET", key, value)
            written = time.monotonic()
            until(lambda: proxy.stats()[f"dropped_{messages}"] == dropped + 1, 5, "it is dropped")
            lost = time.monotonic()
            asked = time.monotonic()
            while conn.ask("GET", key) != value.encode():
                run.count(reads=1)
                run.staleness((asked - written) * 1000)
                assert asked - written <= BOUND_S + BEAT_S, "served beyond T and a beat"
                asked = time.monotonic()
            until(lambda: floors(node) > before, 2 * BEAT_S + SLACK_S, f"the loss of {messages} is found")
            slowest_s = max(slowest_s, time.monotonic() - lost)
            run.count(dropped=1, found=1)
            synced(node)
    run.counts["found_within_s"] = slowest_s


def test_r9_one_announcement_in_a_thousand_lost(run):
    redis_server, proxy, nodes = three_nodes(run)
    fill(redis_server)
    with nodes[0].wire() as conn:
        def ask():
            for _ in range(20):
                read_all(conn)
        ask()
        before = hit_ratio(nodes[0], ask)
        with Load(run, nodes, redis_server, "--writes", 300, bound_s=BOUND_S + BEAT_S) as load:
            proxy.drop("keys", one_in=1000)
            run.lasts(amount(10, 600))
            proxy.no_rules()
        synced(nodes[0])
        until(lambda: hit_ratio(nodes[0], ask) > 0.95 * before, BOUND_S + SLACK_S, "the hit ratio is what it was")
    dropped, by_hash = proxy.stats()["dropped_keys"], floors_by(nodes[0], "stream")
    load.judged(dropped=dropped, found_by_hash=by_hash)
    assert dropped > 0 and by_hash > 0, "the node finds out"


# --- R10 ---

@pytest.mark.parametrize("fault", ["duplicate", "postpone", "reorder", "flip"])
def test_r10_messages_that_are_not_what_was_sent(run, fault):
    """Of announcements one in a hundred, of frames one in ten: 0 violations, and the node counts what it notices."""
    redis_server, proxy, nodes = three_nodes(run)
    with Load(run, nodes, redis_server, bound_s=BOUND_S + BEAT_S) as load:
        for messages, one_in in (("keys", 100), ("frames", 10)):
            getattr(proxy, fault)(messages, one_in=one_in, **({"delay_ms": 150} if fault == "postpone" else {}))
        run.lasts(amount(4, 150))
        proxy.no_rules()
    done = {"duplicate": "duplicated", "postpone": "delayed", "reorder": "reordered", "flip": "flipped"}[fault]
    stats = proxy.stats()
    by_hash, by_frame = floors_by(nodes[0], "stream"), floors_by(nodes[0], "hole", "malformed")
    load.judged(**{done + "_keys": stats[done + "_keys"], "noticed_by_hash": by_hash,
                   done + "_frames": stats[done + "_frames"], "noticed_by_seq_or_checksum": by_frame})
    assert by_hash > 0 and stats[done + "_keys"] > 0, "announcements that were tampered with"
    assert stats[done + "_frames"] > 0
    assert by_frame > 0 or fault == "reorder", "frames that were tampered with"  # swapped with keys: the hash sees it


def test_r10_flipped_bits_anywhere_on_the_bus(run):
    """Lengths and types of the protocol, too: the connection is given up, and nothing stale is served."""
    redis_server, proxy, nodes = three_nodes(run)
    with Load(run, nodes, redis_server, bound_s=BOUND_S + BEAT_S) as load:
        proxy.flip_bytes(20_000, "down", who="bus")
        run.lasts(amount(4, 150))
        proxy.flip_bytes(0, "down", who="bus")
    load.judged(flipped_bytes=proxy.stats()["flipped_bytes"], bus_losses=number(nodes[0], "bus_losses"))
    assert proxy.stats()["flipped_bytes"] > 0
