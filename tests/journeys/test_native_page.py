# SPDX-License-Identifier: BSD-3-Clause
"""The frames that docs/protocol.md shows in bytes, sent to a node as they stand there: it answers as the page says."""
import re
import signal

import pytest

import native
from harness import ROOT, serves_hits, until

pytestmark = pytest.mark.own

ALWAYS_OTHER = {"node", "address", "connection", "age_ms", "seq", "horizon_age_ms", "token", "server_version"}


def blocks():
    """{name: bytes} of the page's blocks."""
    page = (ROOT / "docs" / "protocol.md").read_text()
    return {name: bytes.fromhex("".join(line.split("|")[0] for line in text.splitlines()))
            for name, text in re.findall(r"^```hex (\S+)\n(.*?)^```", page, re.M | re.S)}


SHOWN = blocks()


def shown(name):
    frame, end = native.read_frame(SHOWN[name])
    assert end == len(SHOWN[name])
    return frame


def alike(got, name, other=frozenset()):
    """The answer is the page's, but for numbers that are of the moment."""
    page = shown(name)
    assert (got.op, got.id, got.flags, got.status) == (page.op, page.id, page.flags, page.status), (got, page)
    for field, value in page.meta.items():
        if field in ALWAYS_OTHER:
            assert type(got.meta[field]) is type(value), (field, got)
        elif field not in other:
            assert got.meta[field] == value, (field, got, page)
    assert got.body == page.body, (got, page)


@pytest.fixture(scope="module")
def node(module_stage):
    redis = module_stage.redis()
    path = module_stage.folder / "page.conf"
    path.write_text("[namespace answers]\nprefix = answer:\nformat = managed\nttl = 1h\n")
    node = module_stage.node(path, l2=redis)
    with node.wire() as conn:
        conn.ask("ACL", "SETUSER", "alice", "on", ">secret", "~*", "&*", "+@all")
        conn.ask("ACL", "SETUSER", "reader", "on", ">secret", "~*", "+get")
    return node


@pytest.fixture
def conn(node):
    with node.wire() as other:
        other.ask("DEL", "user:1", "user:22", "answer:7", "h")
    with node.native() as conn:
        conn.last_id = 1000  # above those of the page
        conn.send_raw(SHOWN["hello-request"])
        alike(conn.read(), "hello-answer")
        yield conn


def ask(conn, name):
    conn.send_raw(SHOWN[name])
    return conn.read()


def test_reads_and_writes_of_the_page(node, conn):
    alike(ask(conn, "get-request"), "get-miss")
    with node.wire() as other:
        other.ask("SET", "user:1", "Ada", "PX", "59000")
    hit = ask(conn, "get-request")
    alike(hit, "get-hit", {"ttl_ms"})
    assert 0 < hit.meta["ttl_ms"] <= 59000
    assert ask(conn, "get-fresh-request").body == b"Ada"
    alike(ask(conn, "set-request"), "set-answer")
    got = ask(conn, "get-request")
    assert got.body == b"Ada L." and got.meta["ttl_ms"] <= 60000


def test_several_keys_of_the_page(node, conn):
    with node.wire() as other:
        other.ask("SET", "user:1", "Ada L.")
    conn.send_raw(SHOWN["mget-request"])
    first, last = conn.read(), conn.read()
    assert first.more and not last.more
    by_index = {answer.meta["index"]: answer for answer in (first, last)}
    for index in 0, 1:
        by_index[index].flags = shown(f"mget-answer-{index}").flags  # who is last depends on who comes last
        alike(by_index[index], f"mget-answer-{index}")


def test_the_load_of_the_page_and_its_end(node, conn):
    load = ask(conn, "fetch-request")
    alike(load, "fetch-load")
    assert len(load.meta["token"]) == 16
    conn.send_raw(SHOWN["fill-request"].replace(shown("fetch-load").meta["token"], load.meta["token"]))
    filled = conn.read()
    alike(filled, "fill-answer")
    assert filled.meta["seq"] > 0
    with node.wire() as other:
        until(lambda: serves_hits(node, other, "answer:7"), 5, "the node has it")
    gone = ask(conn, "invalidate-request")
    alike(gone, "invalidate-answer")
    assert gone.meta["seq"] > filled.meta["seq"]


def test_events_of_the_page_and_the_beat_behind_them(node, conn):
    alike(ask(conn, "watch-request"), "watch-answer")
    conn.get("user:1")
    conn.get("user:22")
    with node.wire() as other:
        other.ask("MSET", "user:1", "a", "user:22", "b")
        while sorted(key for event in conn.events for key in event.keys) != sorted(shown("event").keys):
            conn.read()
        assert not any(event.meta["all"] for event in conn.events)
        other.ask("FLUSHALL")
    while not conn.events[-1].meta["all"]:
        conn.read()
    numbers = [event.meta["stream_seq"] for event in conn.events]
    assert numbers == list(range(1, len(numbers) + 1))
    node.wait_synced()

    def proved():
        beat = ask(conn, "beat-request")
        return beat if beat.meta["has_horizon"] else None
    beat = until(proved, 5, "a horizon is proved again")
    alike(beat, "beat-answer", {"stream_seq"})
    assert beat.meta["stream_seq"] == len(conn.events)


def test_a_command_and_an_error_of_the_page(node, conn):
    alike(ask(conn, "call-request"), "call-answer")
    with node.native() as reader:
        assert reader.hello("reader", "secret").status == "OK"
        reader.send_raw(native.request_frame("SET", shown("error").id, "k", "v"))
        alike(reader.read(), "error")


def test_the_goodbye_of_the_page(module_stage):
    node = module_stage.node()
    with node.native() as conn:
        assert conn.beat().status == "OK"
        node.process.signal(signal.SIGTERM)
        assert conn.closes_within(10)
        assert conn.goodbye.body == shown("goodbye").body, conn.goodbye
