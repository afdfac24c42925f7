# SPDX-License-Identifier: BSD-3-Clause
"""What a node missed of managed namespaces comes out of the log (COHERENCE section 5): a short cut costs the questions for
what was written meanwhile, and no other. Two nodes; the second sees Redis through the fault proxy."""

import pytest

import wire
from harness import until
from proxy import FaultProxy
from test_managed import configured

pytestmark = pytest.mark.own

CONFIG = """
[namespace m]
prefix = m:
format = managed
"""
DB = 15
KEYS = [f"m:{i}" for i in range(2000)]
WRITTEN, UNTOUCHED = KEYS[:1000], KEYS[1000:]


class Rig:
    def __init__(self, stage, redis_server, proxy):
        self.redis = redis_server
        self.proxy = proxy
        self.writer = configured(stage, CONFIG, l2=redis_server)
        # Suspects are read by clients alone: each question is one of theirs.
        self.node = configured(stage, CONFIG, "--threads", "1", "--revalidate-rate", "0", l2=proxy.url)
        self.turn = 0
        for node in (self.writer, self.node):
            node.wait_synced()

    def direct(self):
        return self.redis.client(db=DB)

    def write(self, keys):
        """Through the other node; what was written."""
        self.turn += 1
        with self.writer.wire() as conn:
            assert conn.pipeline([("SET", key, f"{self.turn}") for key in keys]) == [b"OK"] * len(keys)
        return f"{self.turn}".encode()

    def read(self, keys):
        with self.node.wire() as conn:
            return [None if isinstance(reply, wire.NullBulk) else reply for reply in conn.pipeline([("GET", key) for key in keys])]

    def questions(self, keys, value):
        """How many of the reads asked L2. All of them must see the value."""
        before = int(self.node.info()["l2_reads"])
        assert set(self.read(keys)) == {value}
        return int(self.node.info()["l2_reads"]) - before

    def settle(self, keys):
        """All of the keys are in L1, and stay."""
        value = self.write(keys)
        self.node.wait_synced()
        until(lambda: set(self.read(keys)) == {value} and self.questions(keys, value) == 0, 5, "all is in L1")
        return value

    def replays(self):
        return {name: int(number) for name, number in
                (pair.split("=") for pair in self.node.info()["replays"].split(","))}

    def decided(self):
        """The log was read, or given up."""
        self.node.wait_synced()
        until(lambda: self.node.info()["coherence_managed_floor_ms"] != "replaying", 5, "it is known what was missed")

    def cut(self):
        self.proxy.refuse()
        until(lambda: self.node.coherence_state() == "DETACHED", 5, "the bus is lost")

    def heal(self):
        self.proxy.heal()
        self.decided()
        with self.node.wire() as conn:  # the link on which reads ask comes back by itself
            until(lambda: not isinstance(conn.ask("GET", "plain"), wire.Error), 5, "L2 can be asked")


@pytest.fixture(scope="module")
def rig(module_stage, redis_server):
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        yield Rig(module_stage, redis_server, proxy)


def changes(rig, before):
    return {name: number - before[name] for name, number in rig.replays().items() if number != before[name]}


def test_a_cut_costs_the_questions_for_what_was_written_and_no_other(rig):
    old = rig.settle(KEYS)
    before = rig.replays()
    rig.cut()
    new = rig.write(WRITTEN)
    rig.heal()
    assert rig.questions(UNTOUCHED, old) == 0
    assert rig.questions(WRITTEN, new) == len(WRITTEN)
    told = changes(rig, before)
    assert told["begun"] == told["whole"] >= 1 and "short" not in told and told["frames"] >= len(WRITTEN) // 64, told


def test_a_bus_that_is_silent_while_the_other_links_live(rig):
    """Only the subscription is cut: the other links of the node live, and reads go there."""
    old = rig.settle(KEYS)
    rig.proxy.black_hole("down", who="bus")
    new = rig.write(WRITTEN[:100])
    until(lambda: rig.node.coherence_state() != "SYNCED", 5, "no beat comes home")
    # Not of the others: a read that is under way when the bus is given up ends its entry.
    assert set(rig.read(WRITTEN[:100])) == {new}, "hits end with the fence"
    rig.heal()
    assert rig.questions(UNTOUCHED, old) == 0
    rig.questions(WRITTEN[:100], new)
    assert rig.questions(WRITTEN[:100], new) == 0


def test_while_the_bus_is_silent_l2_says_what_was_invalidated(rig):
    """Bans that this node cannot have heard of, of each kind, bind what L2 gives it."""
    rig.node.wait_synced()
    with rig.writer.wire() as other, rig.node.wire() as conn:
        def asked():
            return int(rig.node.info()["verdicts_asked"])

        for name in ("tag", "both", "prefix", "soft", "one", "free", "glob"):
            tags = {"tag": ["a"], "both": ["a", "b"], "one": ["b"], "soft": ["s"]}.get(name, [])
            reply = other.ask("CACHE.SET", f"m:{name}:1", name, "PX", 60000, "SWR", 60000, *(["TAGS", len(tags), *tags] if tags else []))
            assert isinstance(reply, int), reply
        long = "m:" + "k" * 255
        assert other.ask("CACHE.SET", long, "long") > 0
        rig.redis.client().set("m:foreign", "foreign", ex=100)
        seq = other.ask("CACHE.LASTSEQ")
        assert conn.ask("CACHE.WAITSEQ", seq, 5000) == b"OK"
        rig.proxy.black_hole("down", who="bus")
        until(lambda: rig.node.coherence_state() != "SYNCED", 5, "no beat comes home")
        before = asked()
        for name in ("tag", "both", "prefix", "one", "free", "glob", "soft"):
            assert conn.ask("GET", f"m:{name}:1") == name.encode()
        assert conn.ask("GET", "m:foreign") == b"foreign" and conn.ask("GET", "m:none") == wire.NULL_BULK
        assert conn.ask("GET", long) == b"long" and asked() >= before + 9

        for words in (["TAG", "a", "NS", "m"], ["PREFIX", "m:prefix:"], ["TAG", "s", "SOFT"]):
            assert other.ask("CACHE.INVALIDATE", *words)[0] > seq
        assert [conn.ask("EXISTS", f"m:{name}:1") for name in ("tag", "both", "prefix", "one", "free", "glob")] == \
            [0, 0, 0, 1, 1, 1]
        assert conn.ask("CACHE.FETCH", "m:soft:1", "NOLOAD")[:2] == [b"STALE", b"soft"]
        assert conn.ask("CACHE.FETCH", "m:one:1", "NOLOAD")[:2] == [b"HIT", b"one"]
        assert conn.ask("GET", "m:foreign").startswith(b"STALE "), "nobody knows its tags"
        assert conn.ask("GET", long).startswith(b"STALE "), "it has too many prefixes to be looked up"
        assert conn.ask("SET", "m:one:1", "again", "XX") == b"OK" and conn.ask("GET", "m:one:1") == b"again"

        assert other.ask("CACHE.INVALIDATE", "PATTERN", "m:?lob:1")[0] > seq
        for name in ("glob", "free"):  # what is found by no name leaves open what is older
            assert conn.ask("GET", f"m:{name}:1").startswith(b"STALE ")
        assert other.ask("CACHE.SET", "m:new", "new", "TAGS", "1", "a") > seq
        assert conn.ask("GET", "m:new") == b"new"
        rig.direct().hdel("terrace:tags", b"L\0")
        assert conn.ask("GET", "m:new").startswith(b"STALE "), "a table that is not whole says nothing"
        assert other.ask("CACHE.INVALIDATE", "ALL", "NS", "m")[0] > seq
        assert conn.ask("EXISTS", "m:one:1", "m:new") == 0
        rig.proxy.heal()
        rig.node.wait_synced()


def test_what_l2_gives_while_the_bus_is_silent_is_no_hit_in_mode_available_either(stage, redis_server):
    """What is in L1 is shown for G, and marked; what is read from Redis is asked for."""
    config = "[namespace a]\nprefix = a:\nformat = managed\nmode = available 10m\n"
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        writer, node = configured(stage, config, l2=redis_server), configured(stage, config, l2=proxy.url)
        with writer.wire() as other, node.wire() as conn:
            for key in ("a:kept", "a:read"):
                assert other.ask("CACHE.SET", key, "value", "TAGS", "1", "tag") > 0
            assert conn.ask("CACHE.WAITSEQ", other.ask("CACHE.LASTSEQ"), 5000) == b"OK"
            assert conn.ask("GET", "a:kept") == b"value"
            proxy.black_hole("down", who="bus")
            until(lambda: node.coherence_state() != "SYNCED", 5, "no beat comes home")
            assert other.ask("CACHE.INVALIDATE", "TAG", "tag")[0] > 0
            # One worker said it; the one that serves this connection has heard its last beat when it heard it.
            until(lambda: conn.ask("CACHE.FETCH", "a:kept", "NOLOAD")[:2] == [b"STALE", b"value"], 10, "S is over here, too")
            assert conn.ask("CACHE.FETCH", "a:read", "NOLOAD")[:2] == [b"MISS", wire.NULL_BULK]


def test_one_lost_frame_costs_one_question(rig):
    old = rig.settle(KEYS[:100])
    before = rig.replays()
    rig.proxy.drop("any", count=2, containing=b"m:7\r\n")  # what Redis announces; and the frame, if nothing is behind the key
    rig.proxy.drop("frames", count=1, containing=b"m:7")
    new = rig.write(["m:7"])
    until(lambda: rig.replays()["whole"] > before["whole"], 5, "the next beat shows the hole")
    rig.proxy.no_rules()
    rig.decided()
    assert rig.questions(["m:7"], new) == 1
    assert rig.questions([key for key in KEYS[:100] if key != "m:7"], old) == 0


def test_a_log_that_was_cut_off_makes_all_suspect(rig):
    old = rig.settle(KEYS[:100])
    before = rig.replays()
    rig.cut()
    new = rig.write(["m:1"])
    rig.write(["m:1000"])
    rig.direct().xtrim("terrace:log", maxlen=1, approximate=False)
    rig.heal()
    assert changes(rig, before).get("short") == 1
    assert rig.questions(["m:1"], new) == 1
    assert rig.questions(KEYS[2:100], old) == len(KEYS[2:100])
    assert rig.questions(KEYS[2:100], old) == 0


def test_a_log_that_is_gone_or_no_log_makes_all_suspect_and_writes_go_on(rig):
    for spoil in (lambda log: log.delete("terrace:log"), lambda log: log.set("terrace:log", "not a stream")):
        old = rig.settle(KEYS[:20])
        rig.cut()
        new = rig.write(["m:1"])
        spoil(rig.direct())
        rig.heal()
        assert rig.questions(["m:1"], new) == 1
        assert rig.questions(KEYS[2:20], old) == len(KEYS[2:20])
        assert rig.write(["m:1"]) is not None


def test_suspects_are_read_anew_in_the_background(rig):
    old = rig.settle(KEYS[:20])
    rig.cut()
    rig.direct().delete("terrace:log")
    with rig.node.wire() as conn:
        rig.heal()
        begun = int(rig.node.info()["revalidated"].split(",")[0].removeprefix("same="))
        assert conn.ask("CONFIG", "SET", "revalidate-rate", "100000") == b"OK"

        def ended():
            info = rig.node.info()
            return int(info["revalidated"].split(",")[0].removeprefix("same=")) >= begun + 20 and (
                info["coherence_revalidating"], info["coherence_suspects"]) == ("0", "0")
        until(ended, 10, "all suspects were read, and were the same")
        assert rig.questions(KEYS[:20], old) == 0
        assert conn.ask("CONFIG", "SET", "revalidate-rate", "0") == b"OK"


def test_an_emptied_database_is_in_the_log(rig):
    rig.settle(KEYS[:20])
    before = rig.replays()
    with rig.writer.wire() as conn:
        for words in (["FLUSHDB"], ["FLUSHDB", "ASYNC"]):  # of another database
            conn.ask("SELECT", 3)
            conn.ask("SET", "k", "v")
            assert conn.ask(*words) == b"OK" and conn.ask("DBSIZE") == 0
            conn.ask("SELECT", 0)
            assert conn.ask("DBSIZE") >= 20
        rig.settle(KEYS[:20])
        rig.cut()
        assert conn.ask("FLUSHDB") == b"OK" and conn.ask("DBSIZE") == 0
    rig.heal()
    assert set(rig.read(KEYS[:20])) == {None}
    assert "short" not in changes(rig, before)


def test_a_redis_that_came_back_is_a_new_epoch(rig):
    rig.settle(KEYS[:20])
    epoch = int(rig.node.info()["coherence_epoch"])
    rig.cut()
    rig.redis.process.kill()
    assert rig.redis.start()
    until(lambda: rig.writer.coherence_state() == "SYNCED" and int(rig.writer.info()["coherence_epoch"]) > epoch, 10,
          "the other node goes on")
    new = rig.write(["m:1"])
    rig.heal()
    assert int(rig.node.info()["coherence_epoch"]) > epoch
    assert rig.questions(["m:1"], new) == 1
    assert set(rig.read(KEYS[2:20])) == {None}
    assert rig.questions(["m:1"], new) == 0
