# SPDX-License-Identifier: BSD-3-Clause
"""`terrace warm` and `terrace hot` against real nodes: jobs by words and by JSON, watched on a terminal and in a pipe, and how it
ends."""
import json
import os
import pathlib
import re
import signal
import subprocess

import cli
import pytest
from cli import Terminal, address
from harness import until

pytestmark = pytest.mark.own


@pytest.fixture(scope="module")
def node(module_stage):
    l2 = module_stage.redis()
    node = module_stage.node(l2=l2)
    with l2.client() as client:
        client.mset({f"w:{i}": "value" for i in range(400)})
        client.sadd("some", "w:1", "w:2", "w:3")
        client.zadd("best", {f"w:{i}": i for i in range(50)})
    return node


def submit(node, *words):
    done = cli.ask(node, "warm", "submit", *words)
    assert done.code == 0, done
    return done.text.strip()


def status(node, job):
    done = cli.ask(node, "warm", "status", job, "--json")
    assert done.code == 0, done
    return done.object


@pytest.mark.parametrize("words, source, total", [(("--pattern", "w:*"), "pattern w:*", 400), (("--keys", "w:1", "w:2"), "keys 2", 2),
                                                  (("--set", "some"), "set some", 3), (("--zset", "best", "--top", "10"), "zset best", 10)],
                         ids=["pattern", "keys", "set", "zset"])
def test_a_job_by_words_is_done(node, words, source, total):
    job = submit(node, *words, "--priority", "9", "--mode", "force")
    watched = cli.ask(node, "warm", "watch", job, "-i", "20ms")
    assert watched.code == 0 and watched.text.splitlines()[-1].startswith(f"job {job} done 100 %, {total} of {total} keys"), watched
    seen = status(node, job)
    assert seen["source"].startswith(source) and seen["total"] == total and seen["priority"] == 9, seen
    rows = cli.ask(node, "warm", "list").text.splitlines()
    assert rows[0].split()[:3] == ["JOB", "STATE", "SOURCE"] and any(row.split()[:2] == [job, "done"] for row in rows)


def test_a_job_as_json_comes_from_the_words_or_from_standard_input(node):
    text = json.dumps({"source": {"keys": ["w:1"]}, "mode": "force", "target": "self"})
    assert cli.ask(node, "warm", "submit", text, "--wait", "-i", "20ms").code == 0
    done = cli.ask(node, "warm", "submit", "-", "--json", stdin=text.encode())
    assert done.code == 0 and status(node, done.object["id"])["target"] == "self"


def test_status_for_people_names_nodes_and_settings(node):
    job = submit(node, "--keys", "w:1", "nothing:here", "--rate", "5000", "--mode", "force")
    cli.ask(node, "warm", "watch", job)
    text = cli.ask(node, "warm", "status", job).text
    assert f"job {job} done 100 %, 2 of 2 keys" in text and "1 loaded, 0 skipped, 1 absent" in text, text
    assert "force, target all, db 0, priority 4" in text and "at most 5k/s" in text and address(node) in text, text


def test_pause_resume_setrate_and_cancel(node):
    job = submit(node, "--pattern", "w:*", "--rate", "1", "--mode", "force")
    assert cli.ask(node, "warm", "pause", job).text == "OK\n"
    until(lambda: status(node, job)["state"] == "paused", 10, "it is paused")
    assert cli.ask(node, "warm", "setrate", job, "0").code == 0
    assert cli.ask(node, "warm", "resume", job, "--json").object == {"status": "OK"}
    assert cli.ask(node, "warm", "watch", job, "-i", "20ms").code == 0
    job = submit(node, "--pattern", "w:*", "--rate", "1", "--mode", "force")
    assert cli.ask(node, "warm", "cancel", job).code == 0
    watched = cli.ask(node, "warm", "watch", job)
    assert watched.code == 1 and watched.text.startswith(f"job {job} cancelled"), watched
    late = cli.ask(node, "warm", "pause", job)
    assert late.code == 1 and b"the job has ended: cancelled" in late.err, late


def test_watch_draws_a_bar_on_a_terminal_that_grows_in_its_line(node):
    job = submit(node, "--pattern", "w:*", "--mode", "force", "--rate", "20")
    with Terminal("--node", address(node), "warm", "watch", job, "-i", "50ms") as terminal:
        half = terminal.read_until(lambda seen: b"running" in seen and "█".encode() in seen, what="a bar")
        assert b"\r\x1b[K" in half and b"\n" not in half, half
        assert cli.ask(node, "warm", "setrate", job, "0").code == 0
        assert terminal.wait() == 0
        last = re.sub(r"\x1b\[\d*m", "", terminal.shown.split(b"\x1b[K")[-1].decode())
        assert "done" in last and "100 %, 400 of 400 keys" in last and "█" * 30 in last and last.endswith("\r\n"), last


def test_watch_in_a_pipe_writes_lines_and_json_objects(node):
    job = submit(node, "--pattern", "w:*", "--mode", "force", "--rate", "1")
    with subprocess.Popen([cli.TERRACE, "--node", address(node), "warm", "watch", job, "-i", "50ms"], stdout=subprocess.PIPE,
                          env=cli.environment()) as watches:
        lines = watches.stdout.readline()
        assert cli.ask(node, "warm", "setrate", job, "0").code == 0
        lines += watches.stdout.read()
    assert b"\x1b" not in lines and b"\r" not in lines and lines.count(b"\n") >= 2, lines
    objects = [json.loads(line) for line in cli.ask(node, "warm", "watch", job, "--json").out.splitlines()]
    assert objects[-1]["state"] == "done" and objects[-1]["id"] == int(job)


def test_watch_that_is_interrupted_leaves_the_job_alone(node):
    job = submit(node, "--pattern", "w:*", "--rate", "1", "--mode", "force")
    with Terminal("--node", address(node), "warm", "watch", job, "-i", "50ms") as terminal:
        terminal.read_until(lambda seen: b"job" in seen, what="a line")
        os.kill(terminal.pid, signal.SIGINT)
        assert terminal.wait() == 1
        assert f"job {job} goes on".encode() in terminal.shown
    with Terminal("--node", address(node), "warm", "watch", job, "-i", "0") as terminal:  # it never waits
        terminal.read_until(lambda seen: b"job" in seen, what="a line")
        os.kill(terminal.pid, signal.SIGINT)
        assert terminal.wait() == 1
    assert status(node, job)["state"] in ("queued", "running")
    assert cli.ask(node, "warm", "cancel", job).code == 0


def test_a_standing_job_is_registered_shown_and_cancelled(node):
    done = cli.ask(node, "warm", "register", "--hot", "100", "--schedule", "08:55 mon-fri")
    assert done.code == 0, done
    job = done.text.strip()
    text = cli.ask(node, "warm", "status", job).text
    assert f"job {job} standing" in text and "08:55 mon-fri" in text and "next        in " in text and "misses" in text, text
    watched = cli.ask(node, "warm", "watch", job)
    assert watched.code == 1 and b"standing" in watched.err, watched
    assert cli.ask(node, "warm", "cancel", job).code == 0


def test_words_that_are_no_job_are_told(node):
    for words, code, said in [(("submit",), 2, "--pattern"), (("submit", "--pattern", "a", "--tag", "b"), 2, "--pattern"),
                              (("submit", "{}", "--tag", "b"), 2, "--tag"), (("submit", "{}", "--priority", "9"), 2, "--priority"),
                              (("submit", "{}", "--dry-run"), 2, "--dry-run"), (("submit", "{}", "--db", "3"), 2, "--db"),
                              (("cancel", "1", "--dry-run"), 2, "--dry-run"), (("submit", "{"), 1, "$:"), (("submit", "--hot", "0"), 1, "$.source.hot"),
                              (("watch",), 2, "number of a job"), (("watch", "99999"), 1, "no such warm job"), (("setrate", "1"), 2, "keys per second"),
                              (("list", "1"), 2, "nothing more"), (("stop", "1"), 2, "expected submit"), (("status", "x"), 1, "integer")]:
        done = cli.ask(node, "warm", *words)
        assert done.code == code and said in done.err.decode(), (words, done)
        as_json = cli.ask(node, "warm", *words, "--json")
        assert as_json.code == code and as_json.object["exit"] == code, as_json


def test_what_is_no_job_is_told_before_a_node_is_looked_for():
    done = cli.run("--node", "127.0.0.1:1", "warm", "submit")
    assert done.code == 2 and b"--pattern" in done.err, done
    assert cli.run("--node", "127.0.0.1:1", "warm", "submit", "--tag", "a").code == 3


def test_who_types_a_job_can_leave(node):
    with Terminal("--node", address(node), "warm", "submit", "-") as terminal:
        until(lambda: os.readlink(f"/proc/{terminal.pid}/exe") == os.path.realpath(cli.TERRACE), 20, "it is the program")
        until(lambda: pathlib.Path(f"/proc/{terminal.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "S", 20, "it reads")
        terminal.type(b"\x03")
        assert terminal.wait() == -signal.SIGINT


def test_a_narrow_terminal_is_told_figures_in_place_of_a_bar(node):
    job = submit(node, "--keys", *(f"w:{i}" for i in range(100)), "--mode", "force", "--rate", "1")
    until(lambda: status(node, job)["state"] == "running", 10, "it runs")

    def fits(seen):
        line = re.sub(rb"\x1b\[\d*m", b"", seen.split(b"\r\x1b[K")[-1]).decode(errors="replace")
        return re.search(r"running \d", line) and len(line) <= 20
    with Terminal("--node", address(node), "warm", "watch", job, "-i", "50ms", columns=20) as terminal:
        terminal.read_until(fits, what="a line of 20 columns")
        os.kill(terminal.pid, signal.SIGINT)
        assert terminal.wait() == 1
    assert cli.ask(node, "warm", "cancel", job).code == 0


def test_a_node_alone_has_no_jobs(module_stage):
    node = module_stage.node()
    done = cli.ask(node, "warm", "submit", "--keys", "a")
    assert done.code == 1 and b"has none" in done.err, done


def test_hot_shows_what_is_read_most(node):
    with node.wire() as conn:
        for _ in range(600):
            conn.ask("GET", "w:7")
    until(lambda: any(key["key"] == "w:7" for key in cli.ask(node, "hot", "--json").object["keys"]), 20, "it was counted")
    rows = cli.ask(node, "hot").text.splitlines()
    assert rows[0].split()[:3] == ["KEY", "DB", "NAMESPACE"] and any(row.split()[:3] == ["w:7", "0", "default"] for row in rows), rows
    assert len(cli.ask(node, "hot", "1").text.splitlines()) == 2
    assert cli.ask(node, "hot", "x").code == 1
