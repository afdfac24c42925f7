# SPDX-License-Identifier: BSD-3-Clause
"""Values that became suspect are read anew in the background, the hottest first (tiers/revalidate.h)."""

import random
import re
import time

import pytest

from harness import until

pytestmark = pytest.mark.own

ENTRIES = 20_000
HOT = 500
NAMES = [f"k{i}" for i in range(ENTRIES)]
BATCH = 500


def fill(redis_server, node, conn):
    """All entries are in L1 and fresh; then the hot ones are used once more."""
    with redis_server.wire() as stranger:
        for at in range(0, ENTRIES, BATCH):
            stranger.ask("MSET", *[word for name in NAMES[at:at + BATCH] for word in (name, f"value of {name}")])
    node.wait_synced()

    def read_all():
        for at in range(0, ENTRIES, BATCH):
            conn.pipeline([["GET", name] for name in NAMES[at:at + BATCH]])
        return node.l1_items() == ENTRIES
    until(read_all, 10, "all entries are in L1")
    until(lambda: node.info()["coherence_revalidating"] == "0", 5, "nothing is suspect")
    hot = random.Random(1).sample(NAMES, HOT)
    conn.pipeline([["GET", name] for name in hot])
    return hot


def revalidated(node):
    """How many, by what was found."""
    return {name: int(n) for name, n in re.findall(r"(\w+)=(\d+)", node.info()["revalidated"])}


def cut_bus(redis_server):
    redis_server.client().config_resetstat()
    with redis_server.wire() as knife:
        assert knife.ask("CLIENT", "KILL", "TYPE", "pubsub") >= 1, "the node had a bus"


def hit_ratio(node, conn, names):
    before = node.info()
    for at in range(0, len(names), BATCH):
        conn.pipeline([["GET", name] for name in names[at:at + BATCH]])
    after = node.info()
    hits, misses = (int(after[key]) - int(before[key]) for key in ("l1_hits", "l1_misses"))
    return hits / (hits + misses)


def test_hot_entries_are_fresh_again_before_anybody_asks(stage):
    redis_server = stage.redis()
    node = stage.node("--revalidate-rate", "1000", l2=redis_server)
    with node.wire() as conn:
        hot = fill(redis_server, node, conn)
        assert hit_ratio(node, conn, hot) == 1
        cut_bus(redis_server)
        until(lambda: node.coherence_state() != "SYNCED", 5, "the cut is seen")
        with redis_server.wire() as stranger:
            stranger.ask("SET", hot[7], "changed while the bus was cut")
        node.wait_synced(5)
        until(lambda: sum(revalidated(node).values()) >= HOT, 10, "as many as are hot were read anew")
        assert redis_server.calls("pttl") < ENTRIES / 4, "this is about the first ones"
        asked = redis_server.calls("pttl")
        assert hit_ratio(node, conn, hot) >= 0.95, "the hot ones were not the first"
        assert conn.ask("GET", hot[7]) == b"changed while the bus was cut"
        assert node.l1_items() >= ENTRIES * 0.99, "entries were flushed"

        # The rest follows, none of it twice (but what was under way when the floor rose again), at the rate that is set.
        conn.ask("CONFIG", "SET", "revalidate-rate", "5000")
        began = time.monotonic()
        until(lambda: node.info()["coherence_revalidating"] == "0", 40, "all are fresh", every_s=0.2)
        took_s = time.monotonic() - began
        assert redis_server.calls("pttl") <= ENTRIES * 1.02, "entries were read twice"
        assert (redis_server.calls("pttl") - asked) / took_s <= 5000 * 1.1
        assert revalidated(node)["same"] > ENTRIES * 0.95
        assert revalidated(node)["failed"] == 0
        assert hit_ratio(node, conn, NAMES) >= 0.95
        assert node.l1_items() >= ENTRIES * 0.99


def test_it_adds_no_more_than_half_of_the_load_before(stage):
    """Without a rate of its own: half of what the clients' reads had asked of Redis per second, at least 64."""
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    with node.wire() as conn:
        fill(redis_server, node, conn)
        began, before = time.monotonic(), redis_server.calls("pttl")
        while time.monotonic() - began < 5:  # time is the subject: a load that lasts
            conn.pipeline([["GET", f"nothing {n}"] for n in range(10)])
        load = (redis_server.calls("pttl") - before) / (time.monotonic() - began)
        cut_bus(redis_server)
        until(lambda: node.coherence_state() != "SYNCED", 5, "the cut is seen")
        node.wait_synced(5)
        until(lambda: redis_server.calls("pttl") > 0, 5, "it has begun")
        at, before = time.monotonic(), redis_server.calls("pttl")
        time.sleep(1.5)  # time is the subject
        asked, took_s = redis_server.calls("pttl") - before, time.monotonic() - at
        limit = int(node.info()["coherence_revalidate_rate"])
        assert 64 < limit <= 0.5 * load * 1.1, (limit, load)
        assert 0 < asked <= limit * (took_s + 0.2), "more than two ticks' worth at once"
        assert node.l1_items() >= ENTRIES * 0.99
        print(f"load {load:.0f}/s, limit {limit}/s, read anew {asked / took_s:.0f}/s")


def test_it_can_be_turned_off_and_on(stage):
    redis_server = stage.redis()
    node = stage.node("--revalidate-rate", "0", l2=redis_server)
    with node.wire() as conn:
        conn.ask("SET", "k", "v")
        until(lambda: [conn.ask("GET", "k"), node.l1_items()][1] >= 1, 5, "k is in L1")
        cut_bus(redis_server)
        until(lambda: int(node.info()["bus_losses"]) > 0, 5, "the cut is seen")
        node.wait_synced(5)
        beats = int(node.info()["beats_home"])
        until(lambda: int(node.info()["beats_home"]) > beats + 2, 5, "time passes")
        assert redis_server.calls("pttl") == 0
        assert b"auto" in conn.ask("CONFIG", "SET", "revalidate-rate", "some")
        assert conn.ask("CONFIG", "SET", "revalidate-rate", "auto") == b"OK"
        until(lambda: revalidated(node)["same"] == 1, 5, "what is still suspect is read anew")
        assert conn.ask("CONFIG", "GET", "revalidate-rate") == [b"revalidate-rate", b"auto"]
