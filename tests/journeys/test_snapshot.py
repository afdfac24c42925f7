# SPDX-License-Identifier: BSD-3-Clause
"""What a node had in L1 outlives it: snapshot-dir (server/snapshots.h, docs/decisions/023)."""

import os
import pathlib
import resource
import signal
import socket

import pytest

from harness import log_lines, until
from test_managed import configured
from wire import NULL_BULK, Error, encode

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
    node.catch_up()
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


def log_was_read(node):
    until(lambda: node.info()["coherence_managed_floor_ms"] != "replaying", 10, "the log was read")


def kept(node, conn, values):
    """L1 has these values that a stranger wrote, and keeps them."""
    node.catch_up()
    until(lambda: get_all(conn, list(values)) == list(values.values()) and node.l1_items() == len(values), 10, "they are in L1")


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
        log_was_read(node)
        ratio = hit_ratio(node, conn, managed, truth)
        assert ratio > 0.9, "managed values are served from L1 at once"
        until(lambda: found(node)["suspects_left"] == "0", 10, "suspects were read anew")
        assert hit_ratio(node, conn, plain, truth) > 0.9


def test_what_was_invalidated_while_it_was_down_is_never_served(stage, l2):
    """By key, tag and prefix (I11), also in a second life that finds the same file."""
    node, other = started(stage, l2=l2), started(stage, "--snapshot-dir", "", l2=l2)
    names = names_of("m:", 60)
    with node.wire() as conn, other.wire() as elsewhere:
        for i, name in enumerate(names):
            elsewhere.ask("CACHE.SET", name, f"value of {name}", "TAGS", 1, f"tag{i % 3}")
        in_l1(node, conn, names, {name: f"value of {name}" for name in names})
        conn.ask("CACHE.SNAPSHOT")
        node.process.kill()
        elsewhere.ask("CACHE.INVALIDATE", "TAG", "tag0")
        elsewhere.ask("CACHE.INVALIDATE", "PREFIX", "m:1")
        elsewhere.ask("CACHE.INVALIDATE", "KEY", "m:2")
    gone = {name for i, name in enumerate(names) if i % 3 == 0 or name.startswith("m:1") or name == "m:2"}
    for _ in range(2):
        again(node)
        log_was_read(node)
        with node.wire() as conn:
            hits, _ = reads(node)
            shown = [conn.ask("CACHE.FETCH", name, "ANY", "NOLOAD")[1] for name in names]
            assert [name for name, value in zip(names, shown) if isinstance(value, bytes)] == [n for n in names if n not in gone]
            assert reads(node)[0] - hits >= len(names) - len(gone), "the others were in L1"
        node.process.kill()


def broken_by(l2, other, how):
    """Managed values of before are not proved any more."""
    if how == "log":
        l2.client(db=15).xtrim("terrace:log", maxlen=0, approximate=False)
        with other.wire() as conn:
            conn.ask("SET", "m:other", "moves the log on")
    else:
        before = other.info()["coherence_epoch"]
        l2.client(db=15).delete("terrace:meta")
        until(lambda: other.info()["coherence_epoch"] != before, 5, "another epoch began")
        other.wait_synced()


@pytest.mark.parametrize("how", ["log", "epoch"])
def test_without_a_proof_managed_values_are_suspects_and_read_anew(stage, l2, how):
    node, other = started(stage, l2=l2), started(stage, "--snapshot-dir", "", l2=l2)
    names = names_of("m:", 100)
    truth = {name: f"first {name}" for name in names}
    with node.wire() as conn, other.wire() as elsewhere:
        set_all(elsewhere, truth)
        in_l1(node, conn, names, truth)
        ended(node)
        for name in names[::7]:
            truth[name] = f"second {name}"
        set_all(elsewhere, {name: truth[name] for name in names[::7]})
        broken_by(l2, other, how)
    again(node)
    with node.wire() as conn:
        assert int(found(node)["restored_managed"]) == 100
        assert get_all(conn, names) == [truth[name].encode() for name in names]
        until(lambda: found(node)["suspects_left"] == "0", 10, "suspects were read anew")
        assert hit_ratio(node, conn, names, truth) == 1


def test_values_of_mode_ttl_come_back_from_an_end_in_order_alone(stage, l2):
    node = started(stage, l2=l2)
    l2.client().mset({"t:a": "1", "t:b": "2"})
    with node.wire() as conn:
        kept(node, conn, {"t:a": b"1", "t:b": b"2"})
    ended(node)
    l2.client().set("t:a", "changed meanwhile")
    again(node)
    with node.wire() as conn:
        assert found(node)["restored_values"] == "2"
        assert conn.ask("GET", "t:a") == b"1", "within its ttl, as the mode allows"
        conn.ask("SET", "t:b", "3")
    node.process.kill()
    again(node)  # the same file, but of a node that did not end in order
    with node.wire() as conn:
        assert found(node)["restored_values"] == "0"
        assert conn.ask("GET", "t:b") == b"3", "no acknowledged write is unmade"


def test_a_start_that_fails_uses_up_nothing(stage, l2):
    node = started(stage, l2=l2)
    l2.client().set("t:a", "1")
    with node.wire() as conn:
        kept(node, conn, {"t:a": b"1"})
    ended(node)
    with socket.create_server(("127.0.0.1", node.port)):
        node.launch()
        assert node.process.wait(20) != 0
    l2.client().set("t:a", "changed meanwhile")
    again(node)
    assert found(node)["restored_values"] == "1"
    with node.wire() as conn:
        assert conn.ask("GET", "t:a") == b"1", "within its ttl, as the mode allows"


def test_values_of_mode_ttl_are_gone_if_l2_was_emptied_meanwhile(stage):
    l2 = stage.redis()
    node = started(stage, l2=l2)
    l2.client().set("t:a", "1")
    with node.wire() as conn:
        kept(node, conn, {"t:a": b"1"})
    ended(node)
    l2.client().flushall()
    again(node)
    assert found(node)["restored_values"] == "1"
    with node.wire() as conn:
        until(lambda: conn.ask("GET", "t:a") is NULL_BULK, 5)
    assert "another epoch" in log_lines(node, "snapshot_dropped")[-1]


def test_values_of_mode_ttl_are_gone_if_another_l2_is_met_while_the_node_drains(stage):
    """Else they would be in its last file, as what it had of the new one."""
    l2 = stage.redis()
    node = started(stage, l2=l2)
    l2.client().set("t:a", "1")
    with node.wire() as conn:
        kept(node, conn, {"t:a": b"1"})
    ended(node)
    l2.process.kill()
    node.flags += ["--drain-delay", "60s"]
    node.launch()
    until(node.answers_ping, 10)
    with node.wire() as conn:
        assert conn.ask("GET", "t:a") == b"1", "without L2"
        node.process.signal(signal.SIGTERM)
        until(lambda: log_lines(node, "draining"), 10)
        assert l2.start()
        until(lambda: conn.ask("GET", "t:a") is NULL_BULK, 15)
    assert "another epoch" in log_lines(node, "snapshot_dropped")[-1]
    node.process.kill()


def test_without_l2_an_available_namespace_is_served_from_the_file_and_no_other(stage):
    l2 = stage.redis()
    node = started(stage, "--l2-timeout", "200ms", l2=l2)
    l2.client().mset({"a:k": "kept", "p:k": "plain"})
    with node.wire() as conn:
        kept(node, conn, {"a:k": b"kept", "p:k": b"plain"})
    ended(node)
    l2.process.kill()
    node.launch()
    until(node.answers_ping, 10)
    with node.wire() as conn:
        assert conn.ask("GET", "a:k") == b"kept"
        assert isinstance(conn.ask("GET", "p:k"), Error)


# --- files --------------------------------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_used_is_put_aside_with_a_reason(stage, l2):
    node = started(stage, l2=l2)
    l2.client().set("p:k", "1")
    with node.wire() as conn:
        kept(node, conn, {"p:k": b"1"})
    path = file_of(node)
    ended(node)
    good = path.read_bytes()
    spoiled = {
        b"TERRSNP1" + good[8:]: "another version wrote it",
        good[:-20]: "its end is broken, or cut off",
        good[:-60] + bytes([good[-60] ^ 1]) + good[-59:]: "sum",
        b"#!/bin/sh\n": "it is cut off in its head",
    }
    for text, why in spoiled.items():
        path.write_bytes(text)
        again(node)
        seen = found(node)
        assert seen["found"] == "refused" and why in seen["refused_why"]
        assert path.with_name(path.name + ".refused").read_bytes() == text
        assert why in log_lines(node, "snapshot_refused")[-1]
        node.process.kill()
    path.write_bytes(good)
    other = stage.redis()
    node.l2_url = other.url
    again(node)
    assert found(node)["refused_why"] == "it is of another L2"


def test_a_snapshot_that_cannot_be_written_costs_nothing(stage):
    node = started(stage)
    with node.wire() as conn:
        conn.ask("SET", "kept", "x")
        conn.ask("CACHE.SNAPSHOT")
        before = file_of(node).read_bytes()
        conn.ask("MSET", *[word for i in range(2000) for word in (f"k{i}", f"{i * 7919:064x}")])
        resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (16384, resource.RLIM_INFINITY))
        answer = conn.ask("CACHE.SNAPSHOT")
        assert isinstance(answer, Error) and "File too large" in str(answer)
        assert file_of(node).read_bytes() == before and found(node)["failed"] == "1"
        resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        folder = folder_of(stage)
        folder.rename(folder.with_name("moved"))
        assert conn.ask("GET", "k7") == f"{7 * 7919:064x}".encode()
        folder.with_name("moved").rename(folder)
        conn.ask("CACHE.SNAPSHOT")
        assert found(node)["last_records"] == "2001" and found(node)["last_error"] == ""


@pytest.mark.skipif("JOURNEY_SANITIZED" in os.environ, reason="a sanitizer ends a process that gets no more room")
def test_a_snapshot_for_which_there_is_no_thread_costs_nothing(stage):
    node = started(stage)
    with node.wire() as conn:
        conn.ask("SET", "kept", "x")
        size = int(pathlib.Path(f"/proc/{node.pid}/statm").read_text().split()[0]) * resource.getpagesize()
        resource.prlimit(node.pid, resource.RLIMIT_AS, (size + (1 << 20), resource.RLIM_INFINITY))
        answer = conn.ask("CACHE.SNAPSHOT")
        resource.prlimit(node.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert isinstance(answer, Error) and "no thread" in str(answer)
        assert found(node)["failed"] == "1" and conn.ask("GET", "kept") == b"x"
        conn.ask("CACHE.SNAPSHOT")
        assert found(node)["last_records"] == "1" and found(node)["last_error"] == ""


def test_a_node_killed_while_it_writes_leaves_the_former_file(stage):
    node = started(stage, "--memory", "256mb")
    names = names_of("k", 20_000)
    with node.wire() as conn:
        for at in range(0, len(names), 1000):
            conn.ask("MSET", *[word for name in names[at:at + 1000] for word in (name, f"{name} {'x' * 1000}{name * 7}")])
        conn.ask("CACHE.SNAPSHOT")
        path = file_of(node)
        conn.send(encode(["CACHE.SNAPSHOT"]))
        fresh = path.with_name(path.name + ".new")
        until(lambda: fresh.exists() or found(node)["written"] == "2", 10, "it is being written", every_s=0.0005)
        node.process.kill()
    again(node)
    assert found(node)["restored_values"] == str(len(names))


def test_a_folder_is_shared_by_nodes_of_different_addresses_only(stage):
    node, other = started(stage), started(stage)
    assert file_of(node) != file_of(other) and file_of(node).parent == file_of(other).parent
    twin = stage.node_not_started("--snapshot-dir", str(folder_of(stage)))
    twin.port = node.port
    twin.launch()
    assert twin.process.wait(10) == 78
    assert "another node of this address" in twin.process.log()
