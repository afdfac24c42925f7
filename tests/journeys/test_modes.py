# SPDX-License-Identifier: BSD-3-Clause
"""What each mode serves when Redis stands still, is gone or comes back, and when only the bus is cut.

One node with a namespace in each mode; a value of each is in L1 before the trouble begins.
"""

import time

import pytest

import wire
from harness import SLACK_S, ask_timed, stand_still, until
from history_run import finish_load, judge, start_load, wait_begun

pytestmark = pytest.mark.own

T_S, GRACE_S = 0.3, 2.0
TURN_S = 0.01  # budgets count whole milliseconds from the beginning of the loop's turn
MODES = """
[namespace bounded]
prefix = b:
mode = bounded 300ms
memory = 4mb
[namespace available]
prefix = a:
mode = available 2s 300ms
memory = 4mb
[namespace lasting]
prefix = t:
mode = ttl
ttl = 1h
memory = 4mb
"""
KEYS = ("a:k", "b:k", "t:k")


class Rig:
    def __init__(self, stage):
        config = stage.folder / "modes.conf"
        config.write_text(MODES)
        self.redis = stage.redis()
        self.node = stage.node(str(config), "--threads", "1", "--l2-timeout", "200ms", l2=self.redis)
        self.conn = self.node.wire()
        for key in KEYS:
            self.stranger("SET", key, "v")
        self.node.catch_up()
        for name, key in (("available", "a:k"), ("bounded", "b:k"), ("lasting", "t:k")):
            until(lambda name=name, key=key: self.hits_grow(name, key), 5, f"{key} is in L1")

    def stranger(self, *words):
        return self.redis.client().execute_command(*words)

    def hits_grow(self, name, key):
        def hits():
            line = self.node.info("namespaces")[f"ns_{name}"]
            return int(dict(pair.split("=") for pair in line.split(","))["hits"])
        before = hits()
        assert self.get(key) == b"v"
        return hits() > before

    def get(self, key):
        """The value, None, or the error as text."""
        reply = self.conn.ask("GET", key)
        return reply.decode() if isinstance(reply, wire.Error) else None if reply is wire.NULL_BULK else reply

    def stale_served(self):
        return int(self.node.info()["stale_served"])

    def served(self, key, seconds):
        """Asks until the answer is another than the value: when the last good one was asked for, since now; at most
        so long."""
        began, last = time.monotonic(), 0.0
        while time.monotonic() - began < seconds:
            asked = time.monotonic()
            if self.get(key) != b"v":
                return last
            last = asked - began
        return last


@pytest.fixture
def rig(stage):
    it = Rig(stage)
    yield it
    it.conn.close()


def is_down(reply):
    return isinstance(reply, str) and reply.startswith("L2DOWN")


def cut_the_bus(rig):
    """No rights to any channel: the subscription ends and is refused again; everything else goes on."""
    rig.stranger("ACL", "SETUSER", "default", "resetchannels")
    until(lambda: rig.node.coherence_state() == "DETACHED", 5, "the bus is gone")


def mend_the_bus(rig):
    rig.stranger("ACL", "SETUSER", "default", "allchannels")
    rig.node.wait_synced(10)


# --- Redis is away -----------------------------------------------------------------------------------------------------


def test_a_frozen_redis(rig):
    stand_still(rig.redis.process)
    try:
        last = rig.served("b:k", 5)
        assert last <= T_S + 0.001, "the horizon is older than the stop"
        assert rig.stale_served() == 0
        assert is_down(rig.get("b:k"))
        assert rig.get("a:k") == b"v" and rig.stale_served() == 1
        last = rig.served("a:k", 10)
        assert 0.0 < last <= GRACE_S, "T and the timeout of the read before are a part of G"
        assert is_down(rig.get("a:k"))
        assert rig.get("t:k") == b"v"
        assert is_down(rig.get("t:other"))
    finally:
        stand_still(rig.redis.process, False)
    for key in KEYS:
        until(lambda key=key: rig.get(key) == b"v", 10, "it is served again")


def test_a_dead_redis(rig):
    rig.redis.process.kill()
    until(lambda: is_down(rig.get("b:k")), 5, "bounded ends")
    assert rig.get("a:k") == b"v" and rig.get("t:k") == b"v"
    until(lambda: is_down(rig.get("a:k")), 10, "the grace is over")
    assert rig.get("t:k") == b"v"


def test_a_restarted_redis_that_lost_everything(rig):
    """A new epoch: suspects are asked for; whoever looks at no floor goes on until ttl, as it promises."""
    rig.redis.end()
    assert rig.redis.start()
    rig.node.wait_synced(10)
    assert rig.get("b:k") is None and rig.get("a:k") is None


# --- the bus is cut, Redis is there --------------------------------------------------------------------------------------


def test_a_cut_bus(rig):
    cut_the_bus(rig)
    changed = time.monotonic()
    for key in KEYS:
        rig.stranger("SET", key, "w")
    until(lambda: rig.get("b:k") == b"w", 5, "bounded asks Redis")
    assert time.monotonic() - changed <= T_S + SLACK_S
    until(lambda: rig.get("a:k") == b"v" and rig.stale_served() >= 1, T_S + SLACK_S, "the grace is longer")
    until(lambda: rig.get("a:k") == b"w", 10, "available asks Redis")
    assert time.monotonic() - changed <= GRACE_S + SLACK_S
    assert rig.get("t:k") == b"v"
    fills = int(rig.node.info()["l1_fills"])
    for _ in range(3):
        rig.get("b:k")
    assert int(rig.node.info()["l1_fills"]) == fills, "nothing is kept that nobody would announce"
    rig.stranger("SET", "t:new", "x")
    rig.get("t:new")
    assert int(rig.node.info()["l1_fills"]) == fills + 1, "but for what looks at its life only"
    mend_the_bus(rig)
    assert rig.get("a:k") == b"w" and rig.get("t:k") == b"v"


# --- all is well -----------------------------------------------------------------------------------------------------


def test_every_mode_obeys_announcements(rig):
    for key in KEYS:
        rig.stranger("SET", key, "w")
        until(lambda key=key: rig.get(key) == b"w", 5, "the change is seen")
    rig.stranger("FLUSHALL")
    for key in KEYS:
        until(lambda key=key: rig.get(key) is None, 5, "the flush is seen")
    assert rig.stale_served() == 0


def test_a_node_that_stood_still_serves_nothing_older_than_its_mode_allows(rig):
    stand_still(rig.node.process)
    for key in KEYS:
        rig.stranger("SET", key, "w")
    # Time itself is the subject: longer than the grace.
    time.sleep(GRACE_S + 0.1)
    stand_still(rig.node.process, False)
    assert rig.get("a:k") == b"w"
    assert rig.get("b:k") == b"w"


# --- CACHE.EXPLAIN ------------------------------------------------------------------------------------------------------


def explain(rig, key):
    reply = rig.conn.ask("CACHE.EXPLAIN", key)
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2])}


def test_explain_says_what_the_mode_makes_of_a_closed_fence(rig):
    assert explain(rig, "a:k")["mode"] == b"available 2000ms 300ms"
    assert [explain(rig, key)["state"] for key in KEYS] == [b"fresh"] * 3
    assert b"until its ttl is over" in explain(rig, "t:k")["why"]
    cut_the_bus(rig)
    until(lambda: explain(rig, "b:k")["state"] != b"fresh", 5, "the fence is closed")
    said = explain(rig, "a:k")
    assert said["state"] == b"fenced" and b"served as stale, within its grace" in said["why"]
    assert explain(rig, "t:k")["state"] == b"fresh"
    until(lambda: b"within its grace" not in explain(rig, "a:k")["why"], 5, "the grace is over")


# --- CACHE.FETCH --------------------------------------------------------------------------------------------------------


def fetch(conn, *words):
    return conn.ask("CACHE.FETCH", *words)


def test_fetch_answers_five_elements(rig):
    state, value, age_ms, ttl_ms, token = fetch(rig.conn, "b:k")
    assert (state, value, ttl_ms, token) == (b"HIT", b"v", -1, wire.NULL_BULK) and 0 <= age_ms <= T_S * 1000
    assert fetch(rig.conn, "b:none") == [b"MISS", wire.NULL_BULK, -1, -2, wire.NULL_BULK]
    rig.stranger("SET", "b:px", "x" * 100_000, "PX", 60_000)
    for _ in range(2):
        state, value, age_ms, ttl_ms, token = fetch(rig.conn, "b:px", "NOLOAD")
        assert state == b"HIT" and len(value) == 100_000 and 0 <= age_ms < 1000 and 50_000 < ttl_ms <= 60_000
    with rig.node.wire(proto=3) as conn:
        assert fetch(conn, "b:none") == [b"MISS", None, -1, -2, None]
        assert fetch(conn, "b:k")[:2] == [b"HIT", b"v"]
    rig.stranger("LPUSH", "b:list", "x")
    assert fetch(rig.conn, "b:list").startswith(b"WRONGTYPE")


def test_fetch_refuses_what_it_cannot_mean(rig):
    for words, text in [
            (("b:k", "MAXSTALE"), b"ERR syntax error"), (("b:k", "MAXSTALE", "-1"), b"ERR MAXSTALE must be milliseconds"),
            (("b:k", "HARD", "x"), b"ERR HARD must be milliseconds"), (("b:k", "WHAT"), b"ERR syntax error"),
            (("b:k", "ANY", "FRESH"), b"ERR only one of"), (("b:k", "ATLEAST", "-3"), b"ERR seq is not an integer"),
            (("x" * 65536,), b"ERR a key of 64 KiB"), ((), b"ERR wrong number of arguments")]:
        assert fetch(rig.conn, *words).startswith(text), words


def test_fetch_on_a_node_alone(stage):
    node = stage.node()
    with node.wire() as conn:
        conn.ask("SET", "k", "v", "PX", "60000")
        state, value, age_ms, ttl_ms, token = fetch(conn, "k", "FRESH", "HARD", "5")
        assert (state, value, age_ms, token) == (b"HIT", b"v", 0, wire.NULL_BULK) and 50_000 < ttl_ms <= 60_000
        assert fetch(conn, "none") == [b"MISS", wire.NULL_BULK, -1, -2, wire.NULL_BULK]
        assert fetch(conn, "k", "ATLEAST", "0")[0] == b"HIT"
        assert fetch(conn, "k", "ATLEAST", "1").startswith(b"STALE")


def test_a_read_chooses_how_old_its_value_may_be(rig):
    rig.redis.client().config_resetstat()
    assert fetch(rig.conn, "b:k", "FRESH")[:2] == [b"HIT", b"v"]
    assert rig.redis.calls("pttl") == 1  # in front of each GET of ours; beats GET, too
    stand_still(rig.redis.process)
    try:
        until(lambda: is_down(rig.get("b:k")), 5, "the fence is closed")
        state, value, age_ms, _, _ = fetch(rig.conn, "b:k", "ANY")
        assert (state, value) == (b"STALE", b"v") and T_S * 1000 < age_ms < 5000
        assert fetch(rig.conn, "b:k", "MAXSTALE", age_ms + 2000)[0] == b"STALE"
        assert fetch(rig.conn, "b:k", "MAXSTALE", age_ms - 1).startswith(b"L2DOWN")
        assert fetch(rig.conn, "a:k", "FRESH").startswith(b"L2DOWN")
        assert fetch(rig.conn, "t:k")[0] == b"HIT"
        assert fetch(rig.conn, "t:k", "MAXSTALE", 100).startswith(b"L2DOWN")
    finally:
        stand_still(rig.redis.process, False)


def test_budgets(rig):
    rig.conn.ask("CONFIG", "SET", "l2-timeout", "20s")
    stand_still(rig.redis.process)
    try:
        until(lambda: fetch(rig.conn, "b:k", "HARD", "1") == b"STALE L2 has not answered within 1 ms",
              5, "the fence is closed")
        began = time.monotonic()
        state, value, *_ = fetch(rig.conn, "b:k", "SOFT", "100", "ANY")
        assert (state, value) == (b"STALE", b"v") and 0.1 - TURN_S <= time.monotonic() - began < 5
        began = time.monotonic()
        assert fetch(rig.conn, "b:new", "SOFT", "50", "HARD", "150", "ANY").startswith(b"STALE L2 has not answered")
        assert 0.15 - TURN_S <= time.monotonic() - began < 5
        began = time.monotonic()
        assert fetch(rig.conn, "b:k", "SOFT", "0", "HARD", "100").startswith(b"STALE L2 has not answered"), \
            "bounded lets nothing older be served"
        assert 0.1 - TURN_S <= time.monotonic() - began < 5
        rig.conn.send(wire.encode(["CACHE.FETCH", "b:k", "SOFT", "10000", "ANY"]))
    finally:
        stand_still(rig.redis.process, False)
    assert rig.conn.read()[:2] == [b"HIT", b"v"], "L2 came back within the budget"
    with rig.node.wire() as leaving:
        leaving.send(wire.encode(["CACHE.FETCH", "b:new", "HARD", "50"]))
    assert fetch(rig.conn, "b:k", "HARD", "5000", "FRESH")[:2] == [b"HIT", b"v"]


def test_a_fetch_behind_its_own_write_sees_it(rig):
    for i in range(200):
        words = [["SET", "b:k", str(i)], ["CACHE.FETCH", "b:k"], ["CACHE.FETCH", "b:k", "ANY"]]
        rig.conn.send(b"".join(wire.encode(each) for each in words))
        assert rig.conn.read() == b"OK"
        assert rig.conn.read()[1] == rig.conn.read()[1] == str(i).encode()


LOAD = "for i=1,300 do redis.call('SET', 'load:'..i, ARGV[1]) end"


def test_atleast_reads_on_one_node_what_was_written_on_another(stage):
    """An old value is in the reader's L1 each time, and a burst of other changes lies in front of the announcement on
    the bus, which one node gets through sooner than the other."""
    redis_server = stage.redis()
    writer, reader = stage.node(l2=redis_server), stage.node(l2=redis_server)
    stranger = redis_server.client()
    behind = {"atleast": 0, "plain": 0}
    with writer.wire() as write, reader.wire() as read:
        for i in range(20000):
            if i >= 2000 and behind["plain"] > 0:
                break  # on a busy machine it may take longer until the reader is behind for once
            read.ask("GET", "k")
            stranger.eval(LOAD, 0, i)
            assert write.ask("SET", "k", str(i)) == b"OK"
            seq = write.ask("CACHE.LASTSEQ")
            plain = i % 2 == 0
            words = [] if plain else ["ATLEAST", str(seq)]
            value = read.ask("CACHE.FETCH", "k", *words)[1]
            behind["plain" if plain else "atleast"] += value != str(i).encode()
    assert behind["atleast"] == 0
    assert behind["plain"] > 0, "the reader was never behind: the test shows nothing"


# --- strict -------------------------------------------------------------------------------------------------------------

STRICT = "mode = strict 200ms\n"
BURST = ["--keys", 40, "--zipf", "0.9", "--connections", 4, "--pipeline", 1, "--writes", 100, "--timeout", 10]


def strict_nodes(stage, redis_server, count, mode=STRICT):
    config = stage.folder / f"strict{stage.count}.conf"
    config.write_text(mode)
    return [stage.node(str(config), "--threads", "2", l2=redis_server) for _ in range(count)]


def load(stage, tmp_path, nodes, seconds, seed, meanwhile=lambda: None):
    """What clients of the nodes saw; nobody writes at Redis itself."""
    path = tmp_path / f"strict{seed}.hist"
    process = start_load(stage, path, nodes, None, seconds, "--seed", seed, "--bound-ms", "200", *BURST)
    wait_begun(path)
    meanwhile()
    finish_load(process)
    return path


def test_strict_is_a_linearizable_register_and_bounded_is_not(stage, tmp_path):
    redis_server = stage.redis()
    verdict = judge(load(stage, tmp_path, strict_nodes(stage, redis_server, 3), 4, 1), flags=["--strict"])
    assert verdict.code == 0, verdict.story()
    assert verdict.found["reads"] > 1000, verdict.found
    bounded = judge(load(stage, tmp_path, strict_nodes(stage, redis_server, 3, "mode = bounded 200ms\n"), 4, 2),
                    flags=["--strict"])
    assert bounded.rules.get("order", 0) > 0, "the load is too tame to show anything"


def test_strict_with_a_node_that_stands_still_now_and_then(stage, tmp_path):
    """Shorter than its T, so that it is awaited, and longer, so that it is fenced."""
    redis_server = stage.redis()
    nodes = strict_nodes(stage, redis_server, 3)

    def pause():
        for seconds in (0.05, 0.15, 0.4, 0.1, 0.7):
            stand_still(nodes[2].process)
            # Time itself is the subject.
            time.sleep(seconds)
            stand_still(nodes[2].process, False)
            time.sleep(0.2)
    verdict = judge(load(stage, tmp_path, nodes, 5, 3, pause), flags=["--strict"])
    assert verdict.code == 0, verdict.story()
    assert verdict.found["reads"] > 1000, verdict.found


def test_a_strict_write_waits_for_a_node_until_it_is_fenced(stage):
    nodes = strict_nodes(stage, stage.redis(), 2)
    with nodes[0].wire() as a, nodes[1].wire() as b:
        # Not the first: a node that has just come does not know yet whether it hears all others.
        until(lambda: ask_timed(a, "SET", "k", "v")[1] < 0.1, 5, "a live node says at once that it is so far")
        assert b.ask("GET", "k") == b"v"
        stand_still(nodes[1].process)
        began = time.monotonic()
        assert a.ask("SET", "k", "w") == b"OK"
        assert 0.05 < time.monotonic() - began < 0.2 + SLACK_S
        stand_still(nodes[1].process, False)
        assert b.ask("GET", "k") == b"w"


def test_what_a_script_shows_nobody_reads_older_afterwards(stage):
    """It names no key, and it is a read: still its answer waits for the node that has the old value in L1."""
    redis_server = stage.redis()
    nodes = strict_nodes(stage, redis_server, 2)
    with nodes[0].wire() as a, nodes[0].wire() as reader, nodes[1].wire() as b:
        until(lambda: ask_timed(a, "SET", "k", "v")[1] < 0.1, 5, "a live node says at once that it is so far")
        assert b.ask("GET", "k") == b"v"
        began = time.monotonic()
        stand_still(nodes[1].process)
        a.send(wire.encode(["SET", "k", "w"]))
        until(lambda: redis_server.client().get("k") == b"w", 5, "the write is done, and not acknowledged yet")
        assert reader.ask("EVAL_RO", "return redis.call('GET', 'k')", "0") == b"w"
        assert time.monotonic() - began > 0.05, "what it had may be served for 200 ms after the last beat"
        stand_still(nodes[1].process, False)
        assert a.read() == b"OK" and b.ask("GET", "k") == b"w"


def test_a_key_too_long_for_l1_is_as_strict_as_its_namespace(stage):
    """It is not among the keys that a relayed command ends in L1; its namespace counts all the same."""
    redis_server = stage.redis()
    node = strict_nodes(stage, redis_server, 1, "[namespace long]\nprefix = long\nmode = strict 200ms\nmemory = 8mb\n")[0]
    long_key = b"long" + b"k" * 70_000
    with node.wire() as conn:
        assert conn.ask("SINTERCARD", "2", "k", long_key) == 0
        redis_server.client().execute_command("ACL", "SETUSER", "default", "resetchannels")
        until(lambda: node.coherence_state() == "DETACHED", 5, "the bus is gone")
        assert conn.ask("SINTERCARD", "2", "k", "l") == 0, "of the namespace that is bounded"
        assert conn.ask("SINTERCARD", "2", "k", long_key).startswith(b"STALE L2 has answered, but")


def test_many_strict_writes_at_once_are_all_acknowledged(stage):
    """More than calls of a node may wait for the bus: those of one turn share their wait."""
    node = strict_nodes(stage, stage.redis(), 1)[0]
    conns = [node.wire() for _ in range(12)]
    for i, conn in enumerate(conns):
        conn.send(b"".join(wire.encode(["SET", f"{i}:{j}", "v"]) for j in range(1000)))
    for conn in conns:
        assert {conn.read() for _ in range(1000)} == {b"OK"}
        conn.close()


def test_strict_with_redis_away_and_with_the_bus_cut(stage):
    redis_server = stage.redis()
    node = strict_nodes(stage, redis_server, 1)[0]
    with node.wire() as conn:
        conn.ask("CONFIG", "SET", "l2-timeout", "300ms")
        assert conn.ask("SET", "k", "v") == b"OK" and conn.ask("GET", "k") == b"v"
        redis_server.client().execute_command("ACL", "SETUSER", "default", "resetchannels")
        until(lambda: node.coherence_state() == "DETACHED", 5, "the bus is gone")
        assert conn.ask("SET", "k", "w").startswith(b"STALE the write was done, but")
        assert redis_server.client().get("k") == b"w", "it says so"
        assert conn.ask("GET", "k").startswith(b"STALE L2 has answered, but")
        assert conn.ask("STRLEN", "k").startswith(b"STALE L2 has answered, but")
        assert conn.ask("HSET", "k", "f", "v").startswith(b"STALE L2 has answered the write with an error, but"), \
            "it would tell that k holds a string"
        for words, kind in ((["XGROUP", "NONE", "k"], b"ERR unknown subcommand"),
                            (["XGROUP", "DESTROY", "k"], b"ERR wrong number of arguments for")):
            assert conn.ask(*words).startswith(kind), "it tells nothing of a key"
        assert conn.ask("EVAL", "return redis.error_reply('ERR unknown command x')", "0").startswith(b"STALE ")
        counts = node.info("errorstats")
        assert "errorstat_WRONGTYPE" not in counts, "nobody was told so"
        assert conn.ask("CACHE.INVALIDATE", "KEY", "k").startswith(b"STALE the write was done, but")
        assert redis_server.client().get("k") is None
        assert conn.ask("SET", "k", "w").startswith(b"STALE the write was done, but")
        redis_server.client().execute_command("ACL", "SETUSER", "default", "allchannels")
        node.wait_synced(10)
        assert conn.ask("GET", "k") == b"w" and conn.ask("SET", "k", "x") == b"OK"
        stand_still(redis_server.process)
        try:
            until(lambda: conn.ask("GET", "k").startswith(b"L2DOWN"), 5, "errors")
        finally:
            stand_still(redis_server.process, False)
