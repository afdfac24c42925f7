# SPDX-License-Identifier: BSD-3-Clause
"""Two nodes, one Redis, and everybody else who writes to it (COHERENCE.md section 3).

The bound on staleness T is 1 s, the default. A promise about one session holds at once; one about another node or a
stranger holds within T, so those tests poll: usually an announcement takes less than a millisecond.
"""

import random
import threading
import time

import pytest

import wire
from harness import BOUND_S, SEED, SLACK_S, ask_timed, serves_hits, until

SOON_S = BOUND_S + SLACK_S


@pytest.fixture
def pair(two_nodes, redis_server):
    """Two connections to two nodes and one to their Redis, all empty, and both nodes serve hits."""
    with two_nodes[0].wire() as a, two_nodes[1].wire() as b, redis_server.wire() as stranger:
        for db in range(8):  # key by key: a flush would close the fences in the middle of the test
            stranger.ask("SELECT", str(db))
            names = stranger.ask("KEYS", "*")
            if names:
                stranger.ask("UNLINK", *names)
        stranger.ask("SELECT", "0")
        stranger.ask("SET", "warm up", "x")
        for node, conn in ((two_nodes[0], a), (two_nodes[1], b)):
            until(lambda node=node, conn=conn: serves_hits(node, conn, "warm up"), 5, "the node serves from L1")
        yield a, b, stranger


def sees(conn, key, value, what=None):
    """Polls until the reader sees the value; within the bound."""
    expected = wire.NULL_BULK if value is None else value
    until(lambda: conn.ask("GET", key) == expected, SOON_S, what or f"GET {key} gives {value!r}")


def warm(*conns, key):
    """Two reads each: the second comes from L1."""
    for conn in conns:
        conn.ask("GET", key)
        conn.ask("GET", key)


def test_what_one_node_writes_the_other_reads(pair):
    a, b, _ = pair
    for turn in range(50):
        a.ask("SET", "story", f"a{turn}")
        sees(b, "story", b"a%d" % turn)
        b.ask("SET", "story", f"b{turn}")
        assert b.ask("GET", "story") == b"b%d" % turn, "a session reads its own write at once"
        sees(a, "story", b"b%d" % turn)


@pytest.mark.own
def test_an_announcement_takes_milliseconds_not_the_bound(pair):
    a, b, _ = pair
    lags = []
    for turn in range(100):
        warm(b, key="lag")
        a.ask("SET", "lag", str(turn))
        began = time.monotonic()
        sees(b, "lag", b"%d" % turn)
        lags.append(time.monotonic() - began)
    lags.sort()
    print(f"propagation: p50 {lags[49] * 1e3:.2f} ms, p99 {lags[98] * 1e3:.2f} ms")
    assert lags[49] < 0.1, lags


WRITES = [
    ("SET", ["SET k new"], b"new"), ("DEL", ["DEL k"], None), ("UNLINK", ["UNLINK k"], None),
    ("APPEND", ["APPEND k +"], b"old+"), ("INCR", ["SET k 1", "INCR k"], b"2"), ("GETDEL", ["GETDEL k"], None),
    ("SETRANGE", ["SETRANGE k 0 b"], b"bld"), ("MSET", ["MSET x 1 k new"], b"new"), ("GETSET", ["GETSET k new"], b"new"),
    ("RENAME away", ["RENAME k other"], None), ("RENAME onto", ["SET other new", "RENAME other k"], b"new"),
    ("COPY onto", ["SET other new", "COPY other k REPLACE"], b"new"), ("past EXPIREAT", ["EXPIREAT k 1"], None),
    ("short PEXPIRE", ["PEXPIRE k 30"], None), ("SETBIT", ["SETBIT k 7 0"], b"nld"), ("FLUSHDB", ["FLUSHDB"], None),
    ("FLUSHALL", ["FLUSHALL"], None), ("another type", ["DEL k", "LPUSH k x", "DEL k"], None),
    ("SETEX", ["SETEX k 100 new"], b"new"), ("GETEX of a past", ["GETEX k PXAT 1"], None),
    ("SORT STORE", ["RPUSH l 1", "SORT l STORE k", "DEL k"], None), ("MOVE", ["MOVE k 3"], None),
    ("BITOP", ["BITOP NOT k k"], b"\x90\x93\x9b"), ("SWAPDB", ["SWAPDB 0 7"], None),
]


@pytest.mark.parametrize("words, value", [(w, v) for _, w, v in WRITES], ids=[name for name, _, _ in WRITES])
def test_every_kind_of_write_through_a_node_is_seen_by_both(pair, words, value):
    a, b, _ = pair
    a.ask("SET", "k", "old")
    sees(b, "k", b"old")
    warm(a, b, key="k")
    for line in words:
        assert not isinstance(a.ask(*line.split()), wire.Error), line
    if value is None and "PEXPIRE" in words[0]:
        sees(a, "k", None)
    else:
        assert a.ask("GET", "k") == (wire.NULL_BULK if value is None else value), "the writer's own session, at once"
    sees(b, "k", value)


@pytest.mark.parametrize("words, value", [(w, v) for n, w, v in WRITES if n != "SWAPDB"],
                         ids=[name for name, _, _ in WRITES if name != "SWAPDB"])
def test_every_kind_of_write_by_a_stranger_is_seen_by_both(pair, words, value):
    a, b, stranger = pair
    a.ask("SET", "k", "old")
    sees(b, "k", b"old")
    warm(a, b, key="k")
    for line in words:
        stranger.ask(*line.split())
    sees(a, "k", value)
    sees(b, "k", value)


def test_scripts_that_write_undeclared_keys_are_seen(pair):
    a, b, stranger = pair
    a.ask("SET", "hidden", "old")
    sees(b, "hidden", b"old")
    warm(a, b, key="hidden")
    stranger.ask("EVAL", "redis.call('SET', 'hid' .. 'den', ARGV[1])", "0", "by script")
    sees(a, "hidden", b"by script")
    sees(b, "hidden", b"by script")


def test_a_strangers_transaction_is_seen(pair):
    a, b, stranger = pair
    a.ask("MSET", "t1", "old", "t2", "old")
    warm(a, b, key="t1")
    warm(a, b, key="t2")
    stranger.pipeline([["MULTI"], ["SET", "t1", "new"], ["INCR", "t3"], ["SET", "t2", "new"], ["EXEC"]])
    for conn in (a, b):
        sees(conn, "t1", b"new")
        sees(conn, "t2", b"new")
        sees(conn, "t3", b"1")


def test_expiry_set_by_a_stranger_is_obeyed(pair):
    a, b, stranger = pair
    a.ask("SET", "e", "v")
    sees(b, "e", b"v")
    warm(a, b, key="e")
    stranger.ask("PEXPIRE", "e", "100")
    sees(a, "e", None)
    sees(b, "e", None)
    stranger.ask("SET", "p", "v", "PX", "400")
    warm(a, b, key="p")
    assert stranger.ask("PERSIST", "p") == 1
    until(lambda: a.ask("PTTL", "p") == -1 and b.ask("PTTL", "p") == -1, SOON_S, "PERSIST is seen")
    time_of_old_deadline = time.monotonic() + 0.5
    while time.monotonic() < time_of_old_deadline:  # the deadline that L1 knew passes
        assert a.ask("GET", "p") in (b"v",) and b.ask("GET", "p") == b"v"


def test_databases_are_told_apart_or_both_end_but_never_mix(pair):
    a, b, stranger = pair
    for conn in (a, b):
        conn.ask("SELECT", "2")
    a.ask("SET", "k", "in two")
    stranger.ask("SET", "k", "in zero")
    warm(a, b, key="k")
    stranger.pipeline([["SELECT", "2"], ["SET", "k", "changed in two"], ["SELECT", "0"]])
    sees(a, "k", b"changed in two")
    sees(b, "k", b"changed in two")
    b.ask("SELECT", "0")
    assert b.ask("GET", "k") == b"in zero"


def test_thousands_of_changes_at_once_are_all_seen(pair):
    """Redis announces them in long lists."""
    a, b, stranger = pair
    names = [f"many:{i}" for i in range(3000)]
    stranger.ask("MSET", *[word for name in names for word in (name, "old")])
    for conn in (a, b):
        assert conn.ask("MGET", *names) == [b"old"] * len(names)
        assert conn.ask("MGET", *names) == [b"old"] * len(names)
    stranger.ask("MSET", *[word for name in names for word in (name, "new")])
    for conn in (a, b):
        until(lambda conn=conn: conn.ask("MGET", *names) == [b"new"] * len(names), SOON_S, "all 3,000 changes are seen")


# --- one session reads its own writes ---

def next_command(rng, model, name):
    """A command on one key of this session, and what the reply must be."""
    other = rng.choice(list(model))
    value = f"{name}-{rng.randrange(10**6)}".encode()
    kind = rng.choice(["GET"] * 8 + ["SET"] * 4 + ["APPEND", "RENAME", "DEL", "GETSET", "EXPIRE", "PERSIST", "SETRANGE",
                                                  "MGET", "MSET", "GETDEL", "COPY", "STRLEN", "SETEX", "EXISTS"])
    old = model[name]
    bulk = wire.NULL_BULK if old is None else old
    if kind == "GET":
        return ["GET", name], bulk
    if kind == "SET":
        model[name] = value
        return ["SET", name, value], b"OK"
    if kind == "SETEX":
        model[name] = value
        return ["SETEX", name, "100", value], b"OK"
    if kind == "APPEND":
        model[name] = (old or b"")[:2000] + b"+"
        return (["APPEND", name, "+"], len(model[name])) if len(old or b"") < 2000 else next_command(rng, model, name)
    if kind == "DEL":
        model[name] = None
        return ["DEL", name], int(old is not None)
    if kind == "GETDEL":
        model[name] = None
        return ["GETDEL", name], bulk
    if kind == "GETSET":
        model[name] = value
        return ["GETSET", name, value], bulk
    if kind == "EXPIRE":
        return ["EXPIRE", name, "1000"], int(old is not None)
    if kind == "SETRANGE":
        model[name] = b"Q" + (old or b"")[1:]
        return ["SETRANGE", name, "0", "Q"], len(model[name])
    if kind == "MGET":
        return ["MGET", name, other], [wire.NULL_BULK if v is None else v for v in (old, model[other])]
    if kind == "MSET":
        model[name] = model[other] = value
        return ["MSET", name, value, other, value], b"OK"
    if kind == "RENAME" and old is not None:
        model[name], model[other] = None, old
        if other == name:
            model[name] = old
        return ["RENAME", name, other], b"OK"
    if kind == "COPY" and other != name:
        if old is not None:
            model[other] = old
        return ["COPY", name, other, "REPLACE"], int(old is not None)
    if kind == "EXISTS":
        return ["EXISTS", name], int(old is not None)
    return ["STRLEN", name], len(old or b"")


def hammer(node, number, seed, seconds, failures, counts):
    """One session that alone writes its keys, and knows what they hold."""
    rng = random.Random(seed)
    model = {f"ryw:{number}:{i}": None for i in range(5)}
    ends_at = time.monotonic() + seconds
    with node.wire() as conn:
        while time.monotonic() < ends_at and not failures:
            batch = [next_command(rng, model, rng.choice(list(model))) for _ in range(rng.choice([1, 3, 30, 200]))]
            replies = conn.pipeline([words for words, _ in batch])
            counts.append(len(batch))
            for (words, expected), reply in zip(batch, replies):
                if reply != expected:
                    failures.append(f"seed {seed}: {words}: got {reply!r}, expected {expected!r}")
                    return


def test_a_session_reads_its_own_writes_whatever_is_pipelined(two_nodes):
    """Four connections at once, two on each node, for three seconds."""
    failures, counts = [], []
    threads = [threading.Thread(target=hammer, args=(two_nodes[i % 2], i, SEED + i, 3.0, failures, counts))
               for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not failures, failures
    assert not any(thread.is_alive() for thread in threads), "a session hangs"
    print(f"seed {SEED}: {sum(counts)} operations")
    assert sum(counts) > 1000


def test_readers_elsewhere_are_never_further_behind_than_the_bound(two_nodes, redis_server):
    """A writer on A and a stranger in turn count up; readers on A and B never go back and never lag more than T."""
    acknowledged = [(time.monotonic(), 0)]
    stop, failures, reads = threading.Event(), [], []
    redis_server.client().set("clock", 0)

    def write():
        with two_nodes[0].wire() as node, redis_server.wire() as stranger:
            n = 0
            while not stop.is_set():
                n += 1
                (node if n % 2 else stranger).ask("SET", "clock", str(n))
                acknowledged.append((time.monotonic(), n))

    def read(node):
        last = 0
        with node.wire() as conn:
            while not stop.is_set():
                oldest_allowed_at = time.monotonic() - BOUND_S
                floor = 0
                for at, n in reversed(acknowledged):
                    if at <= oldest_allowed_at:
                        floor = n
                        break
                value = int(conn.ask("GET", "clock"))
                reads.append(value)
                if value < floor:
                    failures.append(f"read {value}, but {floor} was acknowledged {BOUND_S} s before")
                if value < last:
                    failures.append(f"read {value} after {last}")
                last = value

    threads = [threading.Thread(target=write)] + [threading.Thread(target=read, args=(node,))
                                                 for node in two_nodes for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(2.5)  # the duration of the experiment, not a wait for something
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not failures, failures[:5]
    print(f"{acknowledged[-1][1]} writes, {len(reads)} reads")
    assert acknowledged[-1][1] > 100 and len(reads) > 100


# --- lives ---

def test_the_life_of_a_key_survives_the_trip_through_l1(two_nodes, redis_server):
    """PTTL through the node is never long, and short by at most one round trip."""
    with two_nodes[0].wire() as node, redis_server.wire() as redis_wire:
        for turn in range(20):
            key = f"life:{turn}"
            redis_wire.ask("SET", key, "v", "PX", "100000")
            value, longest_s = ask_timed(node, "GET", key)
            assert value == b"v"
            for _ in range(5):
                round_trip_ms = longest_s * 1000
                before = redis_wire.ask("PTTL", key)
                through = node.ask("PTTL", key)
                after = redis_wire.ask("PTTL", key)
                assert through <= before, f"long: the node says {through}, Redis said {before} before"
                assert through >= after - round_trip_ms - 2, f"short: the node says {through}, Redis {after} after"
                value, took_s = ask_timed(node, "GET", key)  # it may have been read anew
                assert value == b"v"
                longest_s = max(longest_s, took_s)
            round_trip_ms = longest_s * 1000
            assert abs(node.ask("PEXPIRETIME", key) - redis_wire.ask("PEXPIRETIME", key)) <= round_trip_ms + 2


def test_l1_never_outlives_l2(two_nodes, redis_server):
    with two_nodes[0].wire() as node, redis_server.wire() as redis_wire:
        for turn in range(5):
            key = f"short:{turn}"
            redis_wire.ask("SET", key, "v", "PX", "60")
            ended = False
            while not ended:
                ended = redis_wire.ask("GET", key) == wire.NULL_BULK
                reply = node.ask("GET", key)
                assert not (ended and reply == b"v"), "L1 served what L2 had let go"


# --- many who ask ---

@pytest.mark.own
def test_fifty_readers_of_one_key_are_one_read_of_l2(two_nodes, redis_server):
    redis_server.client().set("wanted", "v")
    until(lambda: redis_server.client().get("wanted") == b"v")
    conns = [two_nodes[0].wire() for _ in range(50)]
    try:
        for conn in conns:
            conn.ask("PING")
        stranger = redis_server.client()
        stranger.execute_command("SET", "wanted", "v2")
        # Nobody holds it now, and the node knows: a read that this announcement met would be read again.
        assert conns[0].ask("CACHE.WAITSEQ", str(conns[0].ask("CACHE.LASTSEQ")), "10000") == b"OK"
        stranger.config_resetstat()
        stranger.execute_command("CLIENT", "PAUSE", "300", "ALL")
        for conn in conns:
            conn.send(wire.encode(["GET", "wanted"]))
        assert [conn.read() for conn in conns] == [b"v2"] * 50
        assert redis_server.calls("pttl") == 1  # in front of each GET of ours; a link's own beats GET, too
    finally:
        for conn in conns:
            conn.close()


@pytest.mark.own
def test_hits_do_not_ask_redis(two_nodes, redis_server):
    with two_nodes[0].wire() as conn:
        conn.ask("SET", "hot", "v")
        until(lambda: serves_hits(two_nodes[0], conn, "hot"), 5)
        redis_server.client().config_resetstat()
        for _ in range(200):
            assert conn.ask("GET", "hot") == b"v"
        assert redis_server.calls("pttl") == 0
        conn.ask("MGET", "hot", "hot")
        assert redis_server.calls("mget") == 0 and redis_server.calls("pttl") == 0


# --- Redis goes away ---

@pytest.mark.own
def test_a_node_becomes_synced_and_says_so(two_nodes):
    for node in two_nodes:
        assert node.info("coherence")["coherence_state"] == "SYNCED"


def test_nodes_compare_what_they_were_told_and_agree(two_nodes, redis_server):
    def same(node):
        return int(node.info("coherence")["stream_reports_same"])

    before = [same(node) for node in two_nodes]
    different = [node.info("coherence")["stream_reports_different"] for node in two_nodes]
    with redis_server.wire() as stranger:
        turn = 0

        def compared_while_all_writes_go_on():
            nonlocal turn
            turn += 1
            stranger.pipeline([["SET", f"told {i % 37}", str(turn)] for i in range(500)])
            stranger.ask("EVAL", "for i = 1, 50 do redis.call('SET', 'told by script ' .. i, ARGV[1]) end", "0", str(turn))
            return all(same(node) >= since + 8 for node, since in zip(two_nodes, before))

        until(compared_while_all_writes_go_on, 20, "both nodes compared eight reports of the other")
    assert different == [node.info("coherence")["stream_reports_different"] for node in two_nodes]


@pytest.mark.own
def test_a_node_that_is_ready_serves_every_worker_at_once(stage):
    """A link that was never tried is not "known to be down": the first requests wait for it."""
    redis_server = stage.redis()
    for _ in range(8):
        node = stage.node_not_started("--threads", "4", l2=redis_server)
        node.launch()
        until(node.answers_ping, 10)
        until(lambda node=node: node.admin("/readyz")[0] == 200, 10, "the node is ready", every_s=0.0005)
        conns = [node.wire() for _ in range(12)]
        replies = [conn.ask("SET", "first", "v") for conn in conns] + [conn.ask("GET", "first") for conn in conns]
        assert replies == [b"OK"] * 12 + [b"v"] * 12, replies
        node.process.kill()
        for conn in conns:
            conn.close()


OLD = b"of the dead epoch"


@pytest.fixture
def mortal(stage):
    """(redis, node, connection): a Redis that may be killed, with 20 keys that the node holds in L1."""
    redis_server = stage.redis()
    node = stage.node("--l2-timeout", "500ms", l2=redis_server)
    with node.wire() as conn:
        conn.pipeline([["SET", f"k{i}", OLD] for i in range(20)])
        for i in range(20):
            until(lambda i=i: serves_hits(node, conn, f"k{i}"), 5)
        yield redis_server, node, conn


def kill_and_wait_for_errors(redis_server, conn):
    """Kills Redis, reads until an error comes: (seconds that hits went on, the error)."""
    redis_server.process.kill()
    died = time.monotonic()
    while True:
        asked = time.monotonic()
        reply, took = ask_timed(conn, "GET", "k0")
        assert took < 0.5 + SLACK_S, f"GET hung {took:.2f} s"
        if isinstance(reply, wire.Error):
            return asked - died, reply
        assert reply == OLD
        assert asked - died < BOUND_S + SLACK_S, "served beyond the bound"


@pytest.mark.own
def test_hits_go_on_within_the_bound_when_redis_dies(mortal):
    redis_server, _, conn = mortal
    went_on_s, _ = kill_and_wait_for_errors(redis_server, conn)
    # The horizon was at most a beat (T/4) old when Redis died.
    assert went_on_s > BOUND_S / 2, f"hits ended {went_on_s * 1e3:.0f} ms after Redis died"


@pytest.mark.own
def test_without_redis_everything_is_answered_with_an_error_in_time(mortal):
    redis_server, node, conn = mortal
    _, reply = kill_and_wait_for_errors(redis_server, conn)
    assert reply.startswith(b"L2DOWN ")
    for words in (["GET", "never seen"], ["SET", "k1", "x"], ["INCR", "n"], ["DEL", "k2"], ["LPUSH", "l", "x"],
                  ["DBSIZE"], ["KEYS", "*"], ["MGET", "k0", "k1"], ["FLUSHALL"], ["HGET", "h", "f"], ["TTL", "k0"],
                  ["EXISTS", "k0"], ["RANDOMKEY"], ["SCAN", "0"], ["STRLEN", "k0"], ["GETRANGE", "k0", "0", "1"]):
        reply, took = ask_timed(conn, *words)
        assert isinstance(reply, wire.Error) and reply.split()[0] in (b"L2DOWN", b"UNKNOWN"), (words, reply)
        assert took < 0.5 + SLACK_S, f"{words} hung {took:.2f} s"
    assert conn.ask("PING") == b"PONG" and b"redis_version" in conn.ask("INFO")
    assert node.coherence_state() in ("SUSPECT", "DETACHED", "CATCHUP")
    assert node.admin("/livez")[0] == 200, "a node without its L2 lives"


@pytest.mark.own
def test_nothing_of_a_dead_epoch_is_served_when_redis_comes_back_empty(mortal):
    redis_server, node, conn = mortal
    kill_and_wait_for_errors(redis_server, conn)
    assert redis_server.start()
    back = time.monotonic()
    while True:
        reply, _ = ask_timed(conn, "GET", "k3")
        assert reply != OLD, "an entry of the dead epoch was served as fresh"
        if reply == wire.NULL_BULK and conn.ask("SET", "k4", "new life") == b"OK":
            break
        assert time.monotonic() - back < 5 + SLACK_S, f"no service 5 s after Redis is back: {reply!r}"
        time.sleep(0.005)
    print(f"service {time.monotonic() - back:.2f} s after Redis was back")
    node.wait_synced(5)
    assert time.monotonic() - back < 5 + SLACK_S
    assert [conn.ask("GET", f"k{i}") for i in range(20)] == [
        b"new life" if i == 4 else wire.NULL_BULK for i in range(20)]


@pytest.mark.own
def test_a_quick_restart_of_redis_is_noticed_too(mortal):
    """Back before the bound has passed: the node may still hold a horizon of the dead epoch."""
    redis_server, node, conn = mortal
    redis_server.process.kill()
    died = time.monotonic()
    assert redis_server.start()
    redis_server.client().set("k1", "of the new epoch")
    written = time.monotonic()
    while time.monotonic() - died < 4:
        began = time.monotonic()
        reply = conn.ask("GET", "k1")
        if reply == OLD:
            assert began - written <= BOUND_S, "the dead epoch outlives the bound"
        elif not isinstance(reply, wire.Error):
            assert reply == b"of the new epoch"
            break
    assert conn.ask("GET", "k1") == b"of the new epoch"
    node.wait_synced(5)
    assert conn.ask("GET", "k2") == wire.NULL_BULK


@pytest.mark.own
def test_waiting_requests_are_answered_when_redis_dies_under_them(stage):
    """Writes that were sent and never answered say UNKNOWN; nobody hangs."""
    redis_server = stage.redis()
    node = stage.node("--l2-timeout", "700ms", l2=redis_server)
    conns = [node.wire() for _ in range(10)]
    try:
        redis_server.client().execute_command("CLIENT", "PAUSE", "10000", "ALL")
        for i, conn in enumerate(conns):
            conn.send(wire.encode(["SET", f"w{i}", "v"]) if i % 2 else wire.encode(["GET", f"r{i}"]))
        redis_server.process.kill()
        began = time.monotonic()
        for i, conn in enumerate(conns):
            reply = conn.read()
            assert isinstance(reply, wire.Error), reply
            assert reply.split()[0] in ((b"UNKNOWN", b"L2DOWN") if i % 2 else (b"L2DOWN",)), reply
        assert time.monotonic() - began < 0.7 + SLACK_S
    finally:
        for conn in conns:
            conn.close()


@pytest.mark.own
def test_a_node_starts_without_its_redis_and_serves_when_it_comes(stage):
    redis_server = stage.redis()
    url = redis_server.url
    redis_server.process.kill()
    node = stage.node_not_started("--l2-timeout", "300ms", l2=url)
    node.launch()
    until(node.answers_ping, 10, "the node answers although Redis is away")
    with node.wire() as conn:
        reply, took = ask_timed(conn, "GET", "k")
        assert reply.startswith(b"L2DOWN ") and took < 0.3 + SLACK_S
        assert redis_server.start()
        until(lambda: conn.ask("SET", "k", "v") == b"OK" and conn.ask("GET", "k") == b"v", 5, "service begins")
        node.wait_synced(5)


@pytest.mark.own
def test_a_lost_bus_makes_entries_suspects_and_flushes_nothing(stage):
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    stranger = redis_server.wire()
    names = [f"k{i}" for i in range(100)]
    with node.wire() as conn:
        stranger.ask("MSET", *[word for name in names for word in (name, "old")])
        for name in names:
            warm(conn, key=name)
        until(lambda: [conn.ask("GET", name) for name in names] and node.l1_items() >= 100, 5, "all are in L1")

        redis_server.client().config_resetstat()
        for turn in range(3):
            # In one write: the cut, then a change that nobody announces to the node.
            killed, _ = stranger.pipeline([["CLIENT", "KILL", "TYPE", "pubsub"], ["SET", "k7", f"cut {turn}"]])
            assert killed >= 1, "the node had no bus connection"
            until(lambda: node.l1_items() >= 99, SLACK_S, "nothing was flushed: what is asked for again is back at once")
            sees(conn, "k7", b"cut %d" % turn, "what a stranger wrote during the cut")
            node.wait_synced(5)
            until(lambda: node.l1_items() >= 99, SLACK_S, "nothing was flushed")
        assert [conn.ask("GET", name) for name in names] == [
            b"cut 2" if name == "k7" else b"old" for name in names]
        assert redis_server.calls("pttl") >= 99, "suspects were not revalidated"
        again = redis_server.calls("pttl")
        for name in names:
            conn.ask("GET", name)
        assert redis_server.calls("pttl") - again <= 1, "revalidated entries are fresh again"
    stranger.close()


@pytest.mark.own
def test_nothing_written_while_the_bus_is_cut_is_ever_missed(stage):
    """Cuts at random moments of a stream of a stranger's writes; a reader through the node never lags beyond T."""
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    stranger, knife = redis_server.wire(), redis_server.wire()
    rng = random.Random(4)
    acknowledged = []
    stranger.ask("SET", "k", "0")
    with node.wire() as conn:
        ends_at = time.monotonic() + 3
        n = 0
        while time.monotonic() < ends_at:
            n += 1
            stranger.ask("SET", "k", str(n))
            acknowledged.append((time.monotonic(), n))
            if rng.random() < 0.01:
                knife.ask("CLIENT", "KILL", "TYPE", "pubsub")
            began = time.monotonic()
            value = conn.ask("GET", "k")
            floor = max((m for at, m in acknowledged[-5000:] if at <= began - BOUND_S), default=0)
            assert not isinstance(value, wire.Error), value
            assert int(value) >= floor, f"read {value}, {floor} was acknowledged more than {BOUND_S} s ago"
        sees(conn, "k", b"%d" % n)
    stranger.close()
    knife.close()


@pytest.mark.own
def test_a_flush_by_a_stranger_begins_a_new_epoch_and_service_goes_on(stage):
    redis_server = stage.redis()
    nodes = [stage.node(l2=redis_server) for _ in range(2)]
    with nodes[0].wire() as a, nodes[1].wire() as b:
        for turn in range(3):
            a.ask("SET", "k", f"v{turn}")
            sees(b, "k", b"v%d" % turn)
            redis_server.client().flushall()
            sees(a, "k", None)
            sees(b, "k", None)
            for node in nodes:
                node.wait_synced(5)


@pytest.mark.own
def test_the_node_hides_from_pubsub_and_keyspace_of_its_clients_only(two_nodes, redis_server):
    """Our keys live in one database of L2, under one prefix, and nowhere else."""
    redis_server.client().flushall()
    with two_nodes[0].wire() as conn:
        conn.ask("SET", "k", "v")
        for node in two_nodes:
            node.wait_synced()
        keys = {int(db[2:]) for db in redis_server.client().info("keyspace")}
        assert keys <= {0, 15}
        assert all(name.startswith(b"terrace:") for name in redis_server.client(db=15).keys("*"))


@pytest.mark.own
def test_a_restarted_redis_is_another_process_and_the_workers_leave_the_former_one(mortal):
    redis_server, node, conn = mortal
    before = {name: int(node.info("everything")[name]) for name in ("l2_changes", "coherence_epoch")}
    redis_server.process.kill()
    redis_server.process.wait()
    assert redis_server.start()
    until(lambda: conn.ask("SET", "k1", "new") == b"OK", 5, "writes are taken")
    until(lambda: node.coherence_state() == "SYNCED" and serves_hits(node, conn, "k1"), 5, "back to hits")
    after = node.info("everything")
    assert int(after["l2_changes"]) == before["l2_changes"] + 1
    assert int(after["coherence_epoch"]) == 2, "of the empty one, which was told what had been seen"


@pytest.mark.own
def test_the_control_link_leaves_a_master_that_was_demoted(mortal):
    redis_server, node, conn = mortal
    with redis_server.wire() as stranger:
        losses = int(node.info("everything")["l2_losses"])
        stranger.ask("REPLICAOF", "127.0.0.1", "1")
        until(lambda: node.info("everything")["l2_state"] == "down", 5, "the control link is closed")
        until(lambda: node.coherence_state() != "SYNCED", 5, "nothing is fresh")
        assert int(node.info("everything")["l2_losses"]) > losses
        stranger.ask("REPLICAOF", "NO", "ONE")
    until(lambda: node.coherence_state() == "SYNCED" and serves_hits(node, conn, "k1"), 10, "back to hits")
