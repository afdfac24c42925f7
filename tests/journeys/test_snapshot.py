# SPDX-License-Identifier: BSD-3-Clause
"""What a node had in L1 outlives it: snapshot-dir (server/snapshots.h, docs/decisions/023)."""

import pathlib
import resource
import signal
import subprocess

import pytest

from harness import log_lines, until
from test_managed import configured
from wire import Error

pytestmark = pytest.mark.own

CONFIG = """
[namespace managed]
prefix = m:
format = managed
ttl = 1h
jitter = 0%
[namespace timed]
prefix = t:
mode = ttl
ttl = 1h
[namespace lenient]
prefix = a:
mode = available 30s 1s
"""
COUNT = 400
BATCH = 200


def folder_of(stage):
    return stage.folder / "snapshots"


def started(stage, *flags, l2=None, text=CONFIG):
    return configured(stage, text if l2 else "", "--snapshot-dir", str(folder_of(stage)), *flags, l2=l2)


def ended(node):
    node.process.signal(signal.SIGTERM)
    assert node.process.wait(20) == 0


def again(node):
    assert node.start(), node.process.log()
    return node


def restarted(node):
    ended(node)
    return again(node)


def found(node):
    info = node.info()
    return {name[len("snapshot_"):]: value for name, value in info.items() if name.startswith("snapshot_")}


def file_of(node):
    return pathlib.Path(found(node)["file"])


def get_all(conn, names):
    return [value for at in range(0, len(names), BATCH)
            for value in conn.pipeline([["GET", name] for name in names[at:at + BATCH]])]


def set_all(conn, values):
    assert set(conn.pipeline([["SET", name, value] for name, value in values.items()])) == {b"OK"}


def names_of(prefix, count=COUNT):
    return [f"{prefix}{i}" for i in range(count)]


def reads(node):
    """Hits and misses of L1, of clients' reads."""
    info = node.info()
    return int(info["l1_hits"]), int(info["l1_misses"])


def hit_ratio(node, conn, names, truth):
    """Each value is L2's, whoever changed it; the share of them that L1 had."""
    hits, misses = reads(node)
    assert get_all(conn, names) == [truth[name].encode() for name in names], "what is shown is what L2 has"
    more_hits, more_misses = reads(node)
    return (more_hits - hits) / (more_hits - hits + more_misses - misses)


def in_l1(node, conn, names, truth):
    """They are all in L1: each was read once, and again."""
    until(lambda: hit_ratio(node, conn, names, truth) == 1, 10, "all are in L1")


# --- alone ------------------------------------------------------------------------------------------------------------


def test_alone_the_data_comes_back_as_it_was(stage):
    node = started(stage)
    with node.wire() as conn:
        set_all(conn, {name: f"value of {name}" for name in names_of("k")})
        conn.ask("SET", "lives", "a while", "PX", 3_600_000)
        conn.ask("SET", "dies", "soon", "PX", 1)
        conn.ask("SET", "grown", "123")
        conn.ask("APPEND", "grown", "45")
        conn.ask("HSET", "hash", *[word for i in range(700) for word in (f"field{i}", f"v{i}")])
        conn.ask("HSET", "small", "a", "1")
        conn.ask("SET", "large", "x" * 3_000_000)
        conn.ask("SELECT", 7)
        conn.ask("SET", "k1", "of database 7")
    restarted(node)
    with node.wire() as conn:
        assert found(node)["found"] == "loaded"
        assert get_all(conn, names_of("k")) == [f"value of {name}".encode() for name in names_of("k")]
        assert 3_500_000 < conn.ask("PTTL", "lives") <= 3_600_000
        assert conn.ask("EXISTS", "dies") == 0
        assert conn.ask("OBJECT", "ENCODING", "grown") == b"raw"
        assert conn.ask("HLEN", "hash") == 700 and conn.ask("HGET", "hash", "field699") == b"v699"
        assert conn.ask("OBJECT", "ENCODING", "hash") == b"hashtable"
        assert conn.ask("OBJECT", "ENCODING", "small") == b"listpack"
        assert conn.ask("GET", "large") == b"x" * 3_000_000
        assert conn.ask("DBSIZE") == COUNT + 5
        conn.ask("SELECT", 7)
        assert conn.ask("GET", "k1") == b"of database 7"
    assert file_of(node).stat().st_mode & 0o777 == 0o600


def test_alone_what_was_written_after_the_last_snapshot_is_lost_with_kill_9(stage):
    node = started(stage)
    with node.wire() as conn:
        conn.ask("SET", "before", "1")
        reply = conn.ask("CACHE.SNAPSHOT")
        fields = dict(zip(reply[::2], reply[1::2]))
        assert fields[b"records"] == 1 and pathlib.Path(fields[b"file"].decode()).stat().st_size == fields[b"file_bytes"]
        conn.ask("SET", "after", "1")
    node.process.kill()
    again(node)
    with node.wire() as conn:
        assert conn.ask("GET", "before") == b"1" and conn.ask("EXISTS", "after") == 0


# --- with an L2 -------------------------------------------------------------------------------------------------------


@pytest.fixture
def l2(redis_server):
    redis_server.client().flushall()
    return redis_server


def test_managed_values_are_fresh_at_once_and_plain_ones_soon_whatever_changed(stage, l2):
    node, other = started(stage, l2=l2), started(stage, "--snapshot-dir", "", l2=l2)
    managed, plain = names_of("m:"), names_of("p:")
    truth = {name: f"first {name}" for name in managed + plain}
    with node.wire() as conn, other.wire() as elsewhere, l2.wire() as stranger:
        set_all(elsewhere, {name: truth[name] for name in managed})
        set_all(stranger, {name: truth[name] for name in plain})
        in_l1(node, conn, managed + plain, truth)
        ended(node)
        for name in managed[::20]:
            truth[name] = f"written elsewhere {name}"
        for name in plain[::20]:
            truth[name] = f"written by a stranger {name}"
        set_all(elsewhere, {name: truth[name] for name in managed[::20]})
        set_all(stranger, {name: truth[name] for name in plain[::20]})
    again(node)
    with node.wire() as conn:
        seen = found(node)
        assert seen["found"] == "loaded" and int(seen["restored_managed"]) == COUNT
        until(lambda: node.info()["coherence_managed_floor_ms"] != "replaying", 5, "the log was read")
        ratio = hit_ratio(node, conn, managed, truth)
        assert ratio > 0.9, "managed values are served from L1 at once"
        until(lambda: found(node)["suspects_left"] == "0", 10, "suspects were read anew")
        assert hit_ratio(node, conn, plain, truth) > 0.9
