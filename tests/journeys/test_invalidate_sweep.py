# SPDX-License-Identifier: BSD-3-Clause
"""CACHE.INVALIDATE on plain namespaces beyond KEY and ALL: SOFT, DRYRUN, and sweeps of PREFIX and PATTERN."""

import re
import select
import signal

import pytest

import wire
from harness import until

pytestmark = pytest.mark.own


def explain(conn, key):
    reply = conn.ask("CACHE.EXPLAIN", key)
    return dict(zip(reply[::2], reply[1::2]))


def warm_until_l1(conn, key):
    def is_here():
        conn.ask("GET", key)
        return explain(conn, key)[b"tier"] == b"l1"
    until(is_here, 5, f"{key} is in L1")


# --- SOFT and DRYRUN ---

def test_soft_key_ends_it_in_every_l1_and_leaves_it_in_l2(pair, redis_server):
    a, b = pair
    a.ask("MSET", "s1", "v", "s2", "v", "other", "v")
    for conn in pair:
        for key in ("s1", "s2", "other"):
            warm_until_l1(conn, key)
    seq, dropped = a.ask("CACHE.INVALIDATE", "KEY", "s1", "s2", "nope", "SOFT", "SYNC", "2000")
    assert seq > 0 and dropped == 2
    for conn in pair:
        assert [explain(conn, key)[b"tier"] for key in ("s1", "s2", "other")] == [b"l2", b"l2", b"l1"]
        assert conn.ask("GET", "s1") == b"v"
    with redis_server.wire() as direct:
        assert direct.ask("EXISTS", "s1", "s2") == 2


def test_soft_keys_that_need_several_frames(pair):
    a, b = pair
    keys = [f"{i}:" + "k" * 40000 for i in range(5)]
    for key in keys:
        a.ask("SET", key, "v")
        warm_until_l1(b, key)
    assert a.ask("CACHE.INVALIDATE", "KEY", *keys, "SOFT", "SYNC", "2000")[0] > 0
    assert [explain(b, key)[b"tier"] for key in keys] == [b"l2"] * 5
    reply = a.ask("CACHE.INVALIDATE", "KEY", "k" * 65500, "SOFT")
    assert reply == b"ERR CACHE.INVALIDATE with SOFT cannot name a key that is so long"


def test_soft_all_makes_everything_suspect(pair, two_nodes):
    a, b = pair
    a.ask("SET", "k", "v")
    for conn in pair:
        warm_until_l1(conn, "k")
    before = int(two_nodes[1].info()["coherence_floor_ms"])
    seq, suspects = a.ask("CACHE.INVALIDATE", "ALL", "SOFT", "SYNC", "2000")
    assert seq > 0 and suspects == two_nodes[0].l1_items()
    assert int(two_nodes[1].info()["coherence_floor_ms"]) > before
    assert b.ask("GET", "k") == b"v"


def test_dryrun_counts_and_changes_nothing(pair, two_nodes):
    a, _ = pair
    a.ask("MSET", "d1", "v", "d2", "v")
    warm_until_l1(a, "d1")
    items = two_nodes[0].l1_items()
    assert a.ask("CACHE.INVALIDATE", "KEY", "d1", "d2", "nope", "DRYRUN") == [0, 1]
    assert a.ask("CACHE.INVALIDATE", "ALL", "SYNC", "100", "DRYRUN") == [0, items]
    assert two_nodes[0].l1_items() == items
    assert a.ask("EXISTS", "d1", "d2") == 2


def test_options_are_no_keys_for_who_may_name_only_some(stage):
    node = stage.node(l2=stage.redis())
    with node.wire() as admin, node.wire() as conn:
        admin.ask("ACL", "SETUSER", "some", "on", ">pw", "+@all", "~app:*")
        conn.ask("AUTH", "some", "pw")
        conn.ask("SET", "app:1", "v")
        assert conn.ask("CACHE.INVALIDATE", "KEY", "app:1", "NS", "default", "SYNC", "1000")[0] > 0
        assert conn.ask("CACHE.INVALIDATE", "PREFIX", "app:", "NS", "default")[1] == 0
        for words in (("KEY", "app:1", "else", "SOFT"), ("PREFIX", "app"), ("PATTERN", "*"), ("ALL",)):
            reply = conn.ask("CACHE.INVALIDATE", *words)
            assert isinstance(reply, wire.Error) and reply.startswith(b"NOPERM"), words


# --- sweeps ---

@pytest.fixture(scope="module")
def sweeping(module_stage):
    """Redis with a node in front that knows a namespace of its own, `shop`."""
    redis_server = module_stage.redis()
    path = module_stage.folder / "sweep.conf"
    path.write_text("[namespace shop]\nprefix = app:shop:\n[namespace strict]\nprefix = st:\nmode = strict 1s\n")
    return redis_server, module_stage.node(str(path), l2=redis_server)


def answered(conn):
    return bool(select.select([conn.sock], [], [], 0)[0])


def fill(direct, keys):
    for at in range(0, len(keys), 1000):
        words = ["MSET"]
        for key in keys[at:at + 1000]:
            words += [key, "v"]
        assert direct.ask(*words) == b"OK"


def left(direct, pattern):
    cursor, found = b"0", set()
    while True:
        cursor, keys = direct.ask("SCAN", cursor, "MATCH", pattern, "COUNT", "10000")
        found |= set(keys)
        if cursor == b"0":
            return found


def test_prefix_deletes_what_begins_with_it_and_nothing_else(sweeping):
    redis_server, node = sweeping
    with redis_server.wire() as direct, node.wire() as conn:
        doomed = [f"glob:[*]?{i}" for i in range(3000)]
        safe = ["glob:x", "glob:[*]", "glob:*]?1", "xglob:[*]?1", "glob:[*]!1"]
        fill(direct, doomed + safe)
        conn.ask("SELECT", "3")
        conn.ask("SET", "glob:[*]?1", "of another database")
        conn.ask("SELECT", "0")
        warm_until_l1(conn, doomed[7])
        assert conn.ask("CACHE.INVALIDATE", "PREFIX", "glob:[*]?", "DRYRUN") == [0, 3000]
        seq, count = conn.ask("CACHE.INVALIDATE", "PREFIX", "glob:[*]?", "SYNC", "2000")
        assert seq > 0 and count == 3000
        assert explain(conn, doomed[7])[b"tier"] != b"l1" and conn.ask("GET", doomed[7]) == wire.NULL_BULK
        assert left(direct, "*glob:*") == {key.encode() for key in safe}
        direct.ask("SELECT", "3")
        assert direct.ask("EXISTS", "glob:[*]?1") == 1
        info = node.info()
        assert info["sweeps_running"] == "0" and int(info["sweep_keys_deleted"]) >= 3000


def test_pattern_and_several_of_them(sweeping):
    redis_server, node = sweeping
    with redis_server.wire() as direct, node.wire() as conn:
        fill(direct, ["p:1:x", "p:2:x", "p:1:y", "q:1", "q:2", "r"])
        assert conn.ask("CACHE.INVALIDATE", "PATTERN", "p:?:x", "q*")[1] == 4
        assert direct.ask("EXISTS", "p:1:y", "r") == 2
        assert direct.ask("EXISTS", "p:1:x", "p:2:x", "q:1", "q:2") == 0


def test_the_namespace_that_is_meant(sweeping):
    """app:shop: is another namespace than app:; without NS all are meant."""
    redis_server, node = sweeping
    with redis_server.wire() as direct, node.wire() as conn:
        fill(direct, ["app:1", "app:2", "app:shop:1", "app:shop:2", "app:shopping", "st:1"])
        assert conn.ask("CACHE.INVALIDATE", "PREFIX", "app:", "NS", "default")[1] == 3
        assert direct.ask("EXISTS", "app:shop:1", "app:shop:2") == 2
        assert conn.ask("CACHE.INVALIDATE", "PREFIX", "st:", "NS", "shop")[1] == 0, "none can be meant"
        assert conn.ask("CACHE.INVALIDATE", "PREFIX", "", "NS", "shop")[1] == 2
        fill(direct, ["app:1", "app:shop:1"])
        assert conn.ask("CACHE.INVALIDATE", "PREFIX", "app:")[1] == 2
        assert conn.ask("CACHE.INVALIDATE", "PREFIX", "st:", "SYNC", "2000")[1] == 1


def test_managed_and_plain_keys_under_one_prefix(stage):
    """What is managed is banned, what is plain is swept; with NS only the one of both."""
    redis_server = stage.redis()
    path = stage.folder / "mixed.conf"
    path.write_text("[namespace m]\nprefix = mix:m:\nformat = managed\n")
    node = stage.node(str(path), l2=redis_server)
    with node.wire() as conn, redis_server.wire() as direct:
        def write():
            for key in ("mix:1", "mix:m:1", "mix:m:2", "else"):
                assert conn.ask("SET", key, "v") == b"OK"
        write()
        assert conn.ask("CACHE.INVALIDATE", "PREFIX", "mix:", "NS", "default")[1] == 1
        assert conn.ask("EXISTS", "mix:m:1", "mix:m:2") == 2 and conn.ask("EXISTS", "mix:1") == 0
        write()
        assert conn.ask("CACHE.INVALIDATE", "PREFIX", "mix:", "NS", "m", "SYNC", "2000")[0] > 0
        assert conn.ask("EXISTS", "mix:m:1", "mix:m:2") == 0 and conn.ask("EXISTS", "mix:1") == 1
        write()
        seq, _ = conn.ask("CACHE.INVALIDATE", "PREFIX", "mix:", "SYNC", "2000")
        assert seq > 0 and conn.ask("EXISTS", "mix:m:1", "mix:m:2") == 0 and conn.ask("EXISTS", "mix:1", "else") == 1
        assert direct.ask("EXISTS", "mix:m:1", "mix:1") == 1, "what is banned goes with its time, or its next write"
        reply = conn.ask("CACHE.INVALIDATE", "KEY", "mix:m:1", "else")
        assert reply.startswith(b"ERR keys of managed and plain namespaces in one command: key 'mix:m:1' of namespace 'm'; key 'else' is of")
        assert conn.ask("CACHE.INVALIDATE", "KEY", "else", "DRYRUN")[0] == 0


def test_the_nodes_own_keys_stay(sweeping):
    redis_server, node = sweeping
    with redis_server.wire() as direct, node.wire() as conn:
        conn.ask("SELECT", "15")
        direct.ask("SELECT", "15")
        conn.ask("SET", "mine", "v")
        before = left(direct, "terrace:*")
        assert conn.ask("CACHE.INVALIDATE", "PATTERN", "*")[1] == 1
        assert before and left(direct, "*") == before
        assert node.coherence_state() == "SYNCED"


def test_all_that_stood_when_it_began_is_gone_while_writers_write(sweeping):
    """Keys that are written meanwhile may stay or go; those that are not must be gone, and others must stay."""
    redis_server, node = sweeping
    with redis_server.wire() as direct, node.wire() as sweeper, node.wire() as writer:
        fill(direct, [f"w:old:{i}" for i in range(8000)] + [f"keep:{i}" for i in range(2000)])
        sweeper.send(wire.encode(("CACHE.INVALIDATE", "PREFIX", "w:", "SYNC", "5000")))
        turn = 0
        while not answered(sweeper):
            writer.pipeline([("SET", f"w:new:{turn % 100}:{i}", "v") for i in range(9)] + [("SET", f"keep:{turn % 2000}", "n")])
            turn += 1
        seq, count = sweeper.read()
        assert seq > 0 and count >= 8000 and turn > 3
        rest = left(direct, "w:*")
        assert all(key.startswith(b"w:new:") for key in rest)
        assert len(left(direct, "keep:*")) == 2000


def test_progress_is_visible_and_the_rate_is_kept(sweeping):
    redis_server, node = sweeping
    with redis_server.wire() as direct, node.wire() as conn, node.wire() as sweeper:
        fill(direct, [f"rate:{i}" for i in range(2000)])
        conn.ask("CONFIG", "SET", "sweep-rate", "4000")
        try:
            sweeper.send(wire.encode(("CACHE.INVALIDATE", "PREFIX", "rate:", "DRYRUN")))
            until(lambda: int(node.info()["sweep_0"].split("looked_at=")[1].split(",")[0]) > 200
                  if node.info()["sweeps_running"] == "1" else False, 5, "it is shown")
            seen = node.info()["sweep_0"]
            assert seen.startswith("what=PREFIX rate:,ns=,db=0,dryrun=1,began_ms_ago=")
            looked_at, began_ms_ago = (int(re.search(rf"{name}=(\d+)", seen).group(1)) for name in ("looked_at", "began_ms_ago"))
            assert looked_at <= 4000 * (began_ms_ago + 100) / 1000, "a burst of 20 ms, and a page of SCAN"
            assert not answered(sweeper)
            conn.ask("CONFIG", "SET", "sweep-rate", "1000000")
            assert sweeper.read() == [0, 2000]
        finally:
            conn.ask("CONFIG", "SET", "sweep-rate", "100000")


def test_more_than_may_run_are_busy_and_a_client_that_leaves_ends_none(sweeping):
    redis_server, node = sweeping
    with redis_server.wire() as direct, node.wire() as conn:
        fill(direct, [f"busy:{i}" for i in range(1000)])
        conn.ask("CONFIG", "SET", "sweep-rate", "80")
        try:
            for i in range(8):
                with node.wire() as leaver:
                    leaver.send(wire.encode(("CACHE.INVALIDATE", "PATTERN", f"busy:*{i}")))
                    until(lambda i=i: node.info()["sweeps_running"] == str(i + 1), 5)
            assert conn.ask("CACHE.INVALIDATE", "PREFIX", "busy:") == b"BUSY 8 sweeps are running on this node"
            conn.ask("CONFIG", "SET", "sweep-rate", "1000000")
            until(lambda: node.info()["sweeps_running"] == "0", 10)
            assert left(direct, "busy:*") == {b"busy:%d" % i for i in range(1000) if i % 10 > 7}
        finally:
            conn.ask("CONFIG", "SET", "sweep-rate", "100000")


def test_alone_it_is_l1_that_is_swept(stage):
    path = stage.folder / "alone.conf"
    path.write_text("[namespace shop]\nprefix = app:shop:\n")
    node = stage.node(str(path))
    with node.wire() as conn:
        fill(conn, [f"app:{i}" for i in range(3000)] + ["app:shop:1", "other"])
        assert conn.ask("CACHE.INVALIDATE", "PREFIX", "app:", "NS", "default", "DRYRUN") == [0, 3000]
        assert conn.ask("CACHE.INVALIDATE", "PREFIX", "app:", "NS", "default") == [0, 3000]
        assert conn.ask("CACHE.INVALIDATE", "PATTERN", "*:shop:?") == [0, 1]
        assert conn.ask("KEYS", "*") == [b"other"]


def begin_slow_sweep(stage, redis_server, nodes=1):
    """A sweep that is in its middle: some keys are gone, and many are not."""
    started = [stage.node("--sweep-rate", "5000", l2=redis_server) for _ in range(nodes)]
    with redis_server.wire() as direct:
        fill(direct, [f"mid:{i}" for i in range(20000)])
    conn = started[0].wire()
    conn.send(wire.encode(("CACHE.INVALIDATE", "PREFIX", "mid:")))
    until(lambda: int(started[0].info()["sweep_keys_deleted"]) > 200, 5, "it is under way")
    return started, conn


def test_redis_restarts_in_the_middle_and_it_says_so(stage):
    redis_server = stage.redis()
    (node,), conn = begin_slow_sweep(stage, redis_server)
    with conn:
        redis_server.process.kill()
        redis_server.start()
        reply = conn.read()
        assert isinstance(reply, wire.Error) and reply.split()[0] in (b"L2DOWN", b"UNKNOWN", b"STALE"), reply
        assert b"; the sweep is not complete, " in reply and reply.endswith(b" keys were deleted")
        until(lambda: node.info()["sweeps_running"] == "0", 5)
        assert node.info()["sweeps_failed"] == "1"


def test_a_node_is_killed_in_the_middle_and_another_one_finishes(stage):
    redis_server = stage.redis()
    (first, second), conn = begin_slow_sweep(stage, redis_server, nodes=2)
    first.process.kill()
    conn.close()
    with second.wire() as conn, redis_server.wire() as direct:
        conn.ask("CONFIG", "SET", "sweep-rate", "1000000")
        assert 0 < conn.ask("CACHE.INVALIDATE", "PREFIX", "mid:")[1] < 20000
        assert left(direct, "mid:*") == set()


def test_a_node_that_drains_says_how_far_it_came(stage):
    (node,), conn = begin_slow_sweep(stage, stage.redis())
    with conn:
        node.process.signal(signal.SIGTERM)
        reply = conn.read()
        assert reply.startswith(b"L2DOWN this node is ending; the sweep is not complete, "), reply
    assert node.process.wait() == 0
