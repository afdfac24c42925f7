# SPDX-License-Identifier: BSD-3-Clause
"""write = behind where something else than L2 is in trouble: the disk hangs, its folder goes, L2 refuses single keys, a reload."""

import contextlib
import ctypes
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from harness import TERRACED, log_lines, until
from test_behind import CONFIG, figures, in_l2, started
from test_managed import reload
from wire import Error

pytestmark = pytest.mark.own

SEIZE, INTERRUPT, DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000


@contextlib.contextmanager
def disk_hangs(node):
    """The thread that writes the log stands still, as in a call that does not return."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long] * 4
    tasks = pathlib.Path(f"/proc/{node.pid}/task")
    tid = next(int(task.name) for task in tasks.iterdir() if (task / "comm").read_text() == "behind\n")
    if ptrace(SEIZE, tid, 0, 0) != 0:
        pytest.skip(f"ptrace: {os.strerror(ctypes.get_errno())}")
    assert ptrace(INTERRUPT, tid, 0, 0) == 0
    os.waitpid(tid, WALL)
    try:
        yield
    finally:
        ptrace(DETACH, tid, 0, 0)


def taken(node):
    return figures(node)['terrace_behind_writes_total{result="taken"}']


def test_while_the_disk_hangs_writes_go_through_and_nobody_waits_for_ever(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node = started(stage, l2, "--l2-timeout", "400ms")
    with node.wire() as conn, node.wire() as other:
        with disk_hangs(node):
            assert conn.ask("SET", "b:waits", "1") == b"OK"
            assert in_l2(l2, "b:waits") == b"1", "for the disk has not got it"
            assert figures(node)["terrace_behind_stalled"] == 1
            assert other.ask("SET", "b:through", "2") == b"OK" and in_l2(l2, "b:through") == b"2"
            assert other.ask("SET", "b:waits", "3") == b"OK" and in_l2(l2, "b:waits") == b"3"
            assert other.ask("DEL", "b:waits") == 1
            assert taken(node) == 1
        until(lambda: figures(node)["terrace_behind_stalled"] == 0, 5, "it goes on")
        assert conn.ask("SET", "b:again", "4") == b"OK" and taken(node) == 2
        with disk_hangs(node):
            l2.process.signal(signal.SIGSTOP)
            answer = conn.ask("SET", "b:nowhere", "5")
            l2.process.signal(signal.SIGCONT)
            assert isinstance(answer, Error) and answer.startswith(b"UNKNOWN"), "neither took it so far"
        until(lambda: in_l2(l2, "b:nowhere") == b"5", 5, "it came")
    assert figures(node)["terrace_behind_stalls_total"] == 2


def test_a_folder_that_goes_is_missed(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node = started(stage, l2)
    with node.wire() as conn:
        assert conn.ask("SET", "b:k", "1") == b"OK" and taken(node) == 1
        shutil.rmtree(node.behind)
        assert conn.ask("SET", "b:k", "2") == b"OK" and in_l2(l2, "b:k") == b"2", "the disk cannot have it"
        assert conn.ask("SET", "b:k", "3") == b"OK" and in_l2(l2, "b:k") == b"3"
    assert log_lines(node, "behind_lost") and figures(node)["terrace_behind_failed"] == 1


def test_what_l2_refuses_for_its_key_stops_no_other(stage):
    l2 = stage.redis()
    server = l2.client()
    server.execute_command("ACL", "SETUSER", "node", "on", "nopass", "~terrace:*", "~b:good*", "&*", "+@all")
    node = started(stage, l2, "--l2", l2.url.replace("redis://", "redis://node:x@"))
    with node.wire() as conn:
        assert conn.pipeline([("SET", f"b:{kind}{n}", "v") for n in range(50) for kind in ("bad", "good")]) == [b"OK"] * 100
        until(lambda: all(in_l2(l2, f"b:good{n}") == b"v" for n in range(50)), 5, "the good ones are there")
        until(lambda: figures(node)["terrace_behind_paused"] == 50, 5, "the others wait")
        assert conn.ask("GET", "b:bad7") == b"v"
        assert conn.ask("SET", "b:good0", "new") == b"OK"
        until(lambda: in_l2(l2, "b:good0") == b"new", 5, "and stop nobody")
        fields = [dict(zip(one[::2], one[1::2])) for one in conn.ask("CACHE.NAMESPACES")]
        assert [int(one[b"behind_refused"]) >= 50 for one in fields if one[b"name"] == b"behind"] == [True]
        assert len(log_lines(node, "behind_refused")) == 1
        server.execute_command("ACL", "SETUSER", "node", "~*")
        until(lambda: all(in_l2(l2, f"b:bad{n}") == b"v" for n in range(50)), 10, "when they may, they come")
        assert figures(node)["terrace_behind_paused"] == 0


def test_clients_that_track_are_told_at_once(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node = started(stage, l2)
    with node.wire(proto=3) as broadcast, node.wire(proto=3) as rows, node.wire() as writer:
        assert writer.ask("SET", "b:k", "old") == b"OK"
        until(lambda: in_l2(l2, "b:k") == b"old", 5, "it is in L2")
        assert broadcast.ask("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "b:") == b"OK"
        assert rows.ask("CLIENT", "TRACKING", "ON") == b"OK" and rows.ask("GET", "b:k") == b"old"
        with disk_hangs(node):
            writer.send(b"*3\r\n$3\r\nSET\r\n$3\r\nb:k\r\n$3\r\nnew\r\n")
            assert broadcast.read() == rows.read() == [b"invalidate", [b"b:k"]]
            assert in_l2(l2, "b:k") == b"old", "before L2 has it, and before it is answered"
        assert writer.read() == b"OK" and rows.ask("GET", "b:k") == b"new"


def test_what_a_node_wrote_itself_it_shows_as_long_as_its_mode_allows(stage):
    """Without L2 nobody hears what is invalidated; of what was written here, nobody need have before its writing."""
    l2 = stage.redis()
    tail = "[namespace available]\nprefix = a:\nformat = managed\nwrite = behind\nmode = available 1h 300ms\n"
    text = CONFIG.replace("write = behind", "write = behind\nmode = bounded 300ms")
    node = started(stage, l2, tail=tail, text=text)
    with node.wire() as conn:
        assert conn.ask("SET", "b:before", "x") == b"OK"
        l2.process.kill()
        until(lambda: isinstance(conn.ask("GET", "b:before"), Error), 5, "the bus is silent for longer than T")
        assert conn.pipeline([("SET", "b:k", "1"), ("GET", "b:k"), ("SET", "a:k", "2"), ("GET", "a:k")]) == [b"OK", b"1", b"OK", b"2"]
        until(lambda: isinstance(conn.ask("GET", "b:k"), Error), 5, "T after it was written")
        assert conn.ask("GET", "b:k").startswith(b"STALE")
        assert conn.ask("GET", "a:k") == b"2"
    node.process.kill()  # it would wait for L2


def test_a_reload_that_makes_a_namespace_plain_waits_for_l2(stage):
    l2 = stage.redis()
    node = started(stage, l2, "--l2-timeout", "10s")
    keys = [f"b:{n}" for n in range(20)]
    with node.wire() as conn:
        assert conn.ask("SET", "t:first", "x") == b"OK"
        l2.client().execute_command("CLIENT", "PAUSE", 300, "WRITE")
        assert conn.pipeline([("SET", key, "v") for key in keys]) == [b"OK"] * 20
        assert figures(node)["terrace_behind_entries"] == 20
        reload(node, CONFIG.replace("write = behind\n", "").replace("format = managed", "format = plain", 1))
        assert [in_l2(l2, key) for key in keys] == [b"v"] * 20, "before it holds"
        assert conn.ask("SET", "b:0", "plain") == b"OK" and l2.client().get("b:0") == b"plain"


def test_a_log_of_a_namespace_that_is_not_managed_is_refused(stage):
    l2 = stage.redis()
    node = started(stage, l2)
    l2.process.signal(signal.SIGSTOP)
    with node.wire() as conn:
        assert conn.pipeline([("SET", f"b:{n}", "v") for n in range(3)]) == [b"OK"] * 3
    node.process.kill()
    plain = stage.folder / "plain.conf"
    plain.write_text("[namespace behind]\nprefix = b:\n[namespace other]\nprefix = o:\nformat = managed\n")
    flags = [TERRACED, str(plain), "--listen", "127.0.0.1:0", "--l2", l2.url, "--behind-dir", str(node.behind)]
    refused = subprocess.run(flags, capture_output=True, text=True, timeout=20, check=False)
    assert refused.returncode != 0 and "3 writes in the log of" in refused.stderr and "no managed namespace" in refused.stderr, refused
    l2.process.signal(signal.SIGCONT)
    again = started(stage, l2, folder=node.behind)
    until(lambda: [in_l2(l2, f"b:{n}") for n in range(3)] == [b"v"] * 3, 5, "nothing was lost by that")
    assert again.process.alive()
