# SPDX-License-Identifier: BSD-3-Clause
"""WATCH: what changes is told in EVENT frames, and BEAT proves how much was told (server/native.h)."""

import random
import threading
import time

import pytest

import native
from harness import BOUND_S, SEED, stand_still, until
from proxy import FaultProxy

pytestmark = pytest.mark.own


def told(conn, seen=None, deadline_s=15.0):
    """The keys of the events behind the first `seen` (None: those that are here), when there are some; None: everything."""
    began, seen = time.monotonic(), len(conn.events) if seen is None else seen
    while len(conn.events) == seen:
        assert time.monotonic() - began < deadline_s, "nothing is told"
        conn.beat()
    return [None if event.meta["all"] else event.keys for event in conn.events[seen:]]


def numbers_follow(conn):
    assert [event.meta["stream_seq"] for event in conn.events] == list(range(1, len(conn.events) + 1))


@pytest.fixture(scope="module")
def config(module_stage):
    path = module_stage.folder / "watch.conf"
    path.write_text("[namespace pages]\nprefix = m:\nformat = managed\nttl = 60s\njitter = 0%\n")
    return str(path)


@pytest.fixture(scope="module")
def nodes(module_stage, config, redis_server):
    two = module_stage.node(config, l2=redis_server), module_stage.node(config, l2=redis_server)
    for node in two:
        node.wait_synced()
        until(lambda node=node: int(node.info()["coherence_nodes"]) >= 2, 15, "both nodes are heard")
    return two


@pytest.fixture
def watched(nodes):
    """A connection of the first node that watches."""
    for node in nodes:
        node.wait_synced()
    with nodes[0].native() as conn:
        assert conn.watch().status == "OK"
        yield conn
        numbers_follow(conn)


def keep(conn, *keys):
    """Reads them, and nothing is known to have changed since."""
    for key in keys:
        assert conn.get(key).status == "OK"


def settle(conn, *keys):
    """Reads them when the announcement of no write before is under way any more: a key is told once for each read, and what
    came behind the read would end it."""
    began = time.monotonic()

    def is_proven():
        sent_at, meta = time.monotonic(), conn.beat().meta
        return meta["has_horizon"] and sent_at - meta["horizon_age_ms"] / 1000 > began
    until(is_proven, 15, "whatever was written before is told")
    keep(conn, *keys)


@pytest.mark.parametrize("who", ["a stranger", "the other node", "this node", "itself"])
def test_a_change_is_told_whoever_made_it(nodes, watched, redis_server, who):
    redis_server.client().set("k", "old")
    settle(watched, "k")
    seen = len(watched.events)
    if who == "itself":
        watched.set("k", "new")
    else:
        server = {"a stranger": redis_server, "the other node": nodes[1], "this node": nodes[0]}[who]
        server.client().set("k", "new")
    assert told(watched, seen)[0] == [b"k"]
    until(lambda: watched.get("k").body == b"new", 15, "the new value is read")


def test_alone_its_own_changes_and_those_of_others_are_told(node_alone):
    with node_alone.native() as conn, node_alone.wire() as other:
        conn.watch()
        other.ask("SET", "k", "1")
        keep(conn, "k")
        other.ask("SET", "k", "2")
        assert conn.beat().meta["stream_seq"] == 1 and conn.events[0].keys == [b"k"]
        other.ask("SET", "k", "3")
        assert conn.beat().meta["stream_seq"] == 1, "it is told once for each read"
        keep(conn, "k")
        assert conn.set("k", "4").status == "OK"
        assert conn.beat().meta["stream_seq"] == 2
        other.ask("SET", "brief", "x", "PX", "1500")
        keep(conn, "brief")
        assert told(conn) == [[b"brief"]], "it has expired"
        keep(conn, "k")
        other.ask("FLUSHALL")
        conn.beat()
        assert conn.events[-1].meta["all"] or conn.events[-1].keys == [b"k"]
        numbers_follow(conn)


@pytest.mark.parametrize("how", ["DELETE", "KEY", "TAG", "PREFIX", "PATTERN", "ALL", "FLUSHALL"])
def test_invalidations_are_told(nodes, watched, redis_server, how):
    redis_server.client().flushall()
    nodes[0].wait_synced()
    assert nodes[1].client().execute_command("CACHE.SET", "m:k", "v", "TAGS", "1", "t") > 0
    until(lambda: watched.get("m:k").status == "OK", 15, "it is there")
    settle(watched, "m:k")
    with nodes[1].native() as other:
        if how == "DELETE":
            other.delete("m:k")
        elif how == "FLUSHALL":
            other.call("FLUSHALL")
        else:
            words = {"KEY": ["m:k"], "TAG": ["t"], "PREFIX": ["m:"], "PATTERN": ["m:?"], "ALL": []}[how]
            assert other.invalidate(how, *words, **({"ns": "pages"} if how == "ALL" else {})).status == "OK"
    assert told(watched)[0] in ([b"m:k"], None)
    until(lambda: watched.get("m:k").status == "NIL", 15, "it is gone")


def test_prefixes_are_told_whatever_was_read(nodes, redis_server):
    with nodes[0].native() as conn:
        assert conn.watch("user:", "page:").status == "OK"
        redis_server.client().mset({"user:1": "x", "other": "x", "page:7": "x"})
        keys = set()
        until(lambda: keys.update(*told(conn)) or keys >= {b"user:1", b"page:7"}, 15, "both are told")
        assert keys == {b"user:1", b"page:7"}
        assert conn.watch().status == "ERROR", "as CLIENT TRACKING: BCAST is not switched off so"
        assert conn.unwatch().status == "OK" and conn.watch().status == "OK"
        numbers_follow(conn)


def test_all_keys_are_told_without_a_prefix(node_alone):
    with node_alone.native() as conn, node_alone.wire() as other:
        assert conn.ask("WATCH", watch=1).status == "OK"
        for i in range(3000):
            other.ask("SET", f"k{i}", "x")
        keys = []
        until(lambda: [keys.extend(event) for event in told(conn)] and len(set(keys)) >= 3000, 10, "all are told")
        numbers_follow(conn)


def test_a_flush_with_many_keys_kept(node_alone):
    """Thousands of events at once, none is lost."""
    with node_alone.native() as conn, node_alone.native() as other:
        conn.watch()
        keys = [f"many{i}" for i in range(5000)]
        for at in range(0, 5000, 500):
            other.call("MSET", *[word for key in keys[at:at + 500] for word in (key, "x")])
        assert all(answer.status == "OK" for answer in conn.mget(*keys))
        other.delete(*keys)
        beat = conn.beat()
        gone = {key for event in conn.events for key in event.keys}
        assert gone == {key.encode() for key in keys} or any(event.meta["all"] for event in conn.events)
        assert beat.meta["stream_seq"] == len(conn.events)


def test_who_reads_all_that_he_is_told_is_told_on(node_alone):
    """40 MiB of events, each of them read before the next, while there is always an answer in front of them."""
    key = b"k" * 60_000
    with node_alone.native() as conn:
        conn.watch()
        conn.set("small", "1")
        for i in range(700):
            number = 10 + 3 * i
            conn.send_raw(native.request_frame("GET", number, "small") + native.request_frame("GET", number + 1, key) +
                          native.request_frame("SET", number + 2, key, str(i)))
            assert [conn.answer(number + j).status for j in (0, 2)] == ["OK", "OK"]
            conn.answer(number + 1)
            conn.arrived.clear()
        assert conn.beat().meta["stream_seq"] == 700


def test_after_unwatch_nothing_is_told(node_alone):
    with node_alone.native() as conn, node_alone.wire() as other:
        conn.watch()
        other.ask("SET", "k", "1")
        keep(conn, "k")
        assert conn.unwatch().status == "OK"
        other.ask("SET", "k", "2")
        assert conn.beat().meta["stream_seq"] == 0 and not conn.events


def test_others_may_redirect_what_they_are_told(nodes, redis_server):
    with nodes[0].native() as conn, nodes[0].wire() as other:
        number = conn.hello().meta["connection"]
        assert other.ask("CLIENT", "TRACKING", "ON", "REDIRECT", str(number)) == b"OK"
        redis_server.client().set("redirected", "1")
        other.ask("GET", "redirected")
        redis_server.client().set("redirected", "2")
        assert [b"redirected"] in told(conn)


def test_a_namespace_with_another_mode_is_another_promise(stage):
    node = stage.node()
    with node.native() as conn, node.wire() as other:
        conn.watch()
        conn.set("k", "v")
        assert conn.get("k").meta["near_ms"] == 1000
        conn.beat()
        seen = len(conn.events)
        assert other.ask("CONFIG", "SET", "slowlog-max-len", "100") == b"OK"
        assert conn.beat().meta["stream_seq"] == seen
        assert other.ask("CONFIG", "SET", "mode", "bounded 200ms") == b"OK"
        assert told(conn) == [None]
        assert conn.get("k").meta["near_ms"] == 200


# --- order ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cut(stage):
    """(redis, the proxy in front of it, a node behind that)"""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node("--l2-timeout", "20s", l2=proxy.url)
        node.wait_synced()
        yield redis_server, proxy, node


def test_an_event_overtakes_answers_that_wait(cut):
    redis_server, proxy, node = cut
    redis_server.client().set("k", "1")
    with node.native() as conn:
        conn.watch()
        settle(conn, "k")
        proxy.hold("up", b"stuck")
        waiting = conn.send("GET", "stuck")
        until(lambda: proxy.holds("up"), 15, "it is on its way")
        redis_server.client().set("k", "2")
        assert [b"k"] in told(conn) and not conn.answered(waiting)
        proxy.release("up")
        assert conn.answer(waiting).status == "NIL"


def test_the_proof_ages_while_the_bus_is_silent_and_then_everything_is_in_doubt(cut):
    redis_server, proxy, node = cut
    redis_server.client().set("k", "1")
    with node.native() as conn:
        conn.watch()
        settle(conn, "k")
        fresh = until(lambda: (lambda beat: beat if beat.meta["horizon_age_ms"] < 1000 * BOUND_S else None)(conn.beat()), 15, "it is fresh")
        assert fresh.meta["has_horizon"] and fresh.meta["horizon_age_ms"] > 0
        proxy.freeze("down", who="bus")
        redis_server.client().set("k", "2")
        beats, seen = [], len(conn.events)

        def doubts():
            sent_at = time.monotonic()
            beat = conn.beat()
            assert beat.meta["has_horizon"], "H is there, and ages"
            beats.append((sent_at, time.monotonic(), beat.meta["horizon_age_ms"]))
            return any(event.meta["all"] for event in conn.events[seen:])
        until(doubts, 15, "everything is in doubt")
        until(lambda: doubts() and beats[-1][2] > 1000 * BOUND_S, 15, "it is older than T")
        # It stands still since the last that came home: its age grows as time does. (The clocks are cut to ms.)
        for (sent, answered, age), (sent_next, answered_next, age_next) in zip(beats, beats[1:]):
            if age_next > age:
                assert 1000 * (sent_next - answered) - 3 <= age_next - age <= 1000 * (answered_next - sent) + 3
        proxy.heal()
        until(lambda: conn.beat().meta["has_horizon"] and conn.beat().meta["horizon_age_ms"] < 1000 * BOUND_S, 10, "it is fresh again")
        until(lambda: conn.get("k").body == b"2", 15, "the new value is read")


def test_a_copy_of_a_suspect_is_not_to_be_kept(stage):
    """What changed it may have been missed, and nobody would ever tell of it."""
    redis_server = stage.redis()
    node = stage.node("--revalidate-rate", "0", l2=redis_server)
    redis_server.client().set("k", "1")
    with node.native() as conn:
        conn.watch()
        settle(conn, "k")
        assert conn.get("k", contract=3).meta["near_ms"] == 1000
        redis_server.client().publish("__redis__:invalidate", "forged")
        suspect = until(lambda: (lambda got: got if got.meta["near_ms"] == 0 else None)(conn.get("k", contract=3)), 15, "it is a suspect")
        assert suspect.body == b"1"
        until(lambda: conn.get("k").meta["near_ms"] == 1000, 15, "it was read anew")


def test_without_l2_there_is_no_proof(cut):
    redis_server, proxy, node = cut
    with node.native() as conn:
        conn.watch()
        redis_server.client().set("k", "1")
        settle(conn, "k")
        seen = len(conn.events)
        assert conn.beat().meta["has_horizon"]
        proxy.refuse()
        proxy.reset()
        until(lambda: (lambda beat: beat["horizon_age_ms"] > 1000 * BOUND_S or not beat["has_horizon"])(conn.beat().meta), 15, "it ages")
        until(lambda: conn.beat() and any(event.meta["all"] for event in conn.events[seen:]), 15, "everything is in doubt")


def test_a_beat_stands_behind_all_that_its_worker_did_before(stage):
    """In one turn of one worker: a write by somebody else, then the BEAT. Which of two sockets is read first nobody can say: it is
    tried until the write was."""
    node = stage.node("--threads", "1")
    with node.native() as conn, node.native() as other:
        conn.watch()

        def is_told_first():
            other.set("k", "1")
            keep(conn, "k")
            seen = conn.beat().meta["stream_seq"]
            stand_still(node.process)
            write, beat = other.send("SET", "k", "2"), conn.send("BEAT")
            stand_still(node.process, False)
            answer = conn.answer(beat)
            assert other.answer(write).status == "OK"
            until(lambda: conn.beat().meta["stream_seq"] == seen + 1, 15, "it is told once")
            assert answer.meta["stream_seq"] in (seen, seen + 1)
            told_at = next(at for at, frame in enumerate(conn.arrived) if frame.op == "EVENT" and frame.meta["stream_seq"] == seen + 1)
            is_first = told_at < conn.arrived.index(answer)
            assert is_first == (answer.meta["stream_seq"] == seen + 1)
            return is_first
        until(is_told_first, 60, "the write was first")


class Near:
    """A near cache as a client has it: entries end by events, and what a BEAT proves is checked against the writers."""

    def __init__(self, conn):
        self.conn, self.kept, self.seen = conn, {}, 0

    def apply_events(self):
        for event in self.conn.events[self.seen:]:
            if event.meta["all"]:
                self.kept.clear()
            for key in event.keys:
                self.kept.pop(key, None)
        self.seen = len(self.conn.events)

    def read(self, key):
        before = len(self.conn.events)
        answer = self.conn.get(key)
        ended = any(event.meta["all"] or key in event.keys for event in self.conn.events[before:])
        self.apply_events()
        if answer.meta["near_ms"] > 0 and not ended:
            self.kept[key] = int(answer.body)
        else:
            self.kept.pop(key, None)


class Writers:
    """Each key has one writer, who counts it up and notes when each write was acknowledged."""

    def __init__(self, servers, keys):
        self.keys, self.servers, self.ends = keys, servers, threading.Event()
        self.acknowledged = {key: [] for key in keys}  # (when, value), ascending
        self.threads = [threading.Thread(target=self.write, args=each) for each in enumerate(servers)]

    def write(self, number, server):
        chance = random.Random(SEED + number)
        mine = self.keys[number::len(self.servers)]
        with server.wire() as conn:
            values = dict.fromkeys(mine, 1)
            while not self.ends.is_set():
                key = chance.choice(mine)
                values[key] += 1
                assert conn.ask("SET", key, str(values[key])) == b"OK"
                self.acknowledged[key].append((time.monotonic(), values[key]))
                self.ends.wait(chance.random() * 0.004)

    def newest(self, key, before):
        """What it was at least, at that time."""
        return max((value for at, value in list(self.acknowledged[key]) if at < before), default=1)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exc_info):
        self.ends.set()
        for thread in self.threads:
            thread.join()


def watch_and_check(conn, writers, seconds):
    """After a BEAT of age a, sent at t0, no entry that is still kept is older than what was acknowledged before t0 - a."""
    near, chance, began = Near(conn), random.Random(SEED), time.monotonic()
    checked = proved = 0
    while time.monotonic() - began < seconds or (checked < 50 and time.monotonic() - began < 60):
        for key in chance.sample(writers.keys, 3):
            near.read(key)
        t0 = time.monotonic()
        beat = conn.beat()
        near.apply_events()
        if beat.meta["has_horizon"]:
            proof = t0 - beat.meta["horizon_age_ms"] / 1000
            proved += 1
            for key, value in near.kept.items():
                assert value >= writers.newest(key, proof), ("a violation", key, value, beat)
                checked += 1
    numbers_follow(conn)
    return proved, checked


@pytest.mark.parametrize("where", ["alone", "with L2", "with L2, quick beats"])
def test_a_beat_proves_what_was_told(request, stage, where, redis_server):
    keys = [b"counter%d" % i for i in range(8)]
    if where == "alone":
        node = request.getfixturevalue("node_alone")
        servers = [node, node]
    elif where == "with L2":
        node, other = request.getfixturevalue("nodes")
        servers = [redis_server, node, other]
    else:  # each 25 ms
        own = stage.redis()
        node = stage.node("--threads", "1", "--mode", "bounded 100ms", l2=own)
        servers = [own, own]
    with node.wire() as conn:
        for key in keys:
            conn.ask("SET", key, "1")
    with Writers(servers, keys) as writers, node.native() as conn:
        assert conn.watch().status == "OK"
        proved, checked = watch_and_check(conn, writers, 1.5)
    assert proved > 0 and checked >= 50
