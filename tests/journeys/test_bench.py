# SPDX-License-Identifier: BSD-3-Clause
"""What measures: its tables have their rows, its counts are those of the servers, and a lie ends the run. No figure is
judged here."""

import getpass
import json
import os
import re
import socket
import subprocess
import sys

import pytest

from harness import ROOT, START_DEADLINE_S, free_port, until

pytestmark = pytest.mark.own

BENCH = os.environ.get("BENCH", str(ROOT / "build" / "release" / "terrace-bench"))
LIAR = ROOT / "tests" / "journeys" / "lying_server.py"
KEYS = 500
HEAD = ["figure", "ours", "redis-server", "memcached", "ours to redis-server", "goal", "met"]


def program(name, *words, expect=0, **env):
    done = subprocess.run([sys.executable, ROOT / "bench" / name, *map(str, words)], capture_output=True, text=True,
                          timeout=240, check=False, env={**os.environ, **env})
    assert done.returncode == expect, (done.returncode, done.stdout, done.stderr[-2000:])
    return done.stdout if expect == 0 else done.stderr


def rows_of(text):
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    assert all(len(row) == len(rows[0]) for row in rows), text
    return rows[0], rows[2:]


def numbers(cells):
    return [float(number) for cell in cells for number in re.findall(r"-?\d+\.?\d*", cell)]


def bench(*words, expect=0):
    done = subprocess.run([BENCH, "--quiet", "--json", *map(str, words)], capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == expect, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout) if done.stdout else done.stderr


class Memcached:
    def __init__(self, stage):
        self.port = free_port()
        self.process = stage.run("memcached", ["memcached", "-l", "127.0.0.1", "-p", self.port, "-U", "0", "-u",
                                               getpass.getuser(), "-m", "64"])
        until(self.answers, START_DEADLINE_S, "memcached answers")

    def words(self):
        return "--target", f"127.0.0.1:{self.port}", "--protocol", "memcached"

    def answers(self):
        return subprocess.run([BENCH, *self.words(), "--quiet", "--op", "ping", "-n", "1", "-c", "1"], capture_output=True,
                              check=False).returncode == 0

    def stats(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(b"stats\r\n")
            with sock.makefile("rb") as lines:
                return {words[1].decode(): words[2].decode() for words in
                        map(bytes.split, iter(lines.readline, b"END\r\n"))}


# --- the tables ---

def test_table_has_a_row_for_every_figure():
    text = program("compare.py", "--tiny")
    for words in ("commit ", " cores, Linux ", "Redis server v=", "memcached 1.", "load average before", "load average after"):
        assert words in text
    head, rows = rows_of(text)
    assert head == HEAD
    figures = [row[0] for row in rows]
    assert figures[:18] == [f"{op} {size}, P={pipeline}, us of CPU" for size in ("32 B", "1 KiB", "16 KiB")
                            for op in ("GET", "SET") for pipeline in (1, 16, 64)]
    for words, count in (("overhead", 4), ("TTL, bytes", 2), (", p50, ms (load at most ", 1), (", p99, ms (load at most ", 1), ("thread", 3), ("16 together", 1)):
        assert len([figure for figure in figures if words in figure]) == count, (words, figures)
    for figure, ours, *others, ratio, goal, met in rows:
        alone = "lookup" in figure or "how much faster" in figure or "16 together" in figure
        assert numbers([ours]) and bool(goal) == bool(met) and met in ("", "yes", "NO"), figure
        assert alone or all(numbers([other]) for other in others), figure
        assert alone or "overhead" in figure or all(number > 0 for number in numbers([ours, *others, ratio])), figure
    assert len([row for row in rows if row[5]]) == 13


@pytest.mark.parametrize("liar", ["TERRACED", "MEMCACHED"])
@pytest.mark.parametrize("lie, found", [("foreign", "failed: wrong values is"), ("miss", "failed: min-hit-ratio is"),
                                        ("error", "it lies")])
def test_a_lie_ends_the_run(liar, lie, found):
    assert found in program("compare.py", "--tiny", "threads", expect=1, LIE=lie, **{liar: str(LIAR)})


def test_equal_memory_knows_the_hit_ratio_that_every_policy_has(tmp_path):
    """Every key is asked for four times in a row: three hits of four, whoever leaves when memory is full."""
    trace = tmp_path / "four-in-a-row"
    trace.write_text("".join(f"0 key{number:05} 1000 0\n" for number in range(10_000) for _ in range(4)))
    text = program("equal_memory.py", "--budget", 2, "--trials", 2, trace)
    assert "120000 requests, 30000 keys, sizes as in the trace, footprint 29.0 MiB, budget 2.9 MiB; 3 copies" in text
    head, rows = rows_of(text)
    assert head[:4] == ["server", "limit, MiB", "RSS grew, MiB", "hit ratio"]
    assert [row[0].split()[0] for row in rows] == ["ours", "redis-server", "redis-server", "memcached"]
    assert "refused" not in rows[0][3]
    for row in rows:  # a Redis that finds nothing to evict in so little memory refuses a SET, which costs one hit
        ratio, *refused = numbers([row[3]])
        assert 0.74 - sum(refused) / 120_000 < ratio <= 0.75, row
        assert numbers(row[1:3])[0] > 0, row


@pytest.mark.parametrize("ours_grew, peer_grew, peer_ratio, said", [
    (100, 100, 0.5, "yes"), (100, 97, 0.5, "not at equal memory"), (103, 100, 0.5, "not at equal memory"),
    (97, 103, 0.5, "yes"), (97, 103, 0.58, "NO"), (103, 97, 0.58, "NO")])
def test_equal_memory_meets_no_goal_by_more_memory(ours_grew, peer_grew, peer_ratio, said):
    code = ("from types import SimpleNamespace as Replay; from equal_memory import verdict; "
            f"print(verdict(Replay(hit_ratio=0.6, grown={ours_grew}), Replay(hit_ratio={peer_ratio}, grown={peer_grew}), 100, 5))")
    run = subprocess.run([sys.executable, "-c", code], cwd=os.path.join(ROOT, "bench"), capture_output=True, text=True, check=True)
    assert run.stdout.strip() == said


def test_equal_memory_refuses_what_is_no_trace(tmp_path):
    trace = tmp_path / "empty"
    trace.write_text("# nothing\n")
    assert "no request" in program("equal_memory.py", trace, expect=1)


# --- memcached's protocol ---

def test_memcached_counts_what_terrace_bench_counts(stage):
    memcached = Memcached(stage)
    filled = bench(*memcached.words(), "--fill", "-k", KEYS, "-s", "1-5000", "-c", 4, "-P", 16, "--op", "get", "--check",
                   "-n", 4000)
    assert filled["errors"] == filled["wrong_values"] == filled["misses"] == 0
    missed = bench(*memcached.words(), "-k", KEYS, "--key-prefix", "nobody:", "-c", 2, "-P", 8, "-n", 800)
    assert missed["hits"] == 0
    mixed = bench(*memcached.words(), "-k", KEYS, "-s", "1-5000", "-c", 4, "-P", 4, "--ratio", "1:1", "--check", "-n", 2000)
    assert mixed["errors"] == mixed["wrong_values"] == mixed["misses"] == 0
    stats = memcached.stats()
    # A closed loop has asked for a little more than it counts when it ends.
    for name, counted, asked_beyond in (("get_misses", missed["misses"], 16),
                                        ("get_hits", filled["hits"] + mixed["hits"], 64 + 16),
                                        ("cmd_set", KEYS + mixed["writes"], 16)):
        assert counted <= int(stats[name]) <= counted + asked_beyond, (name, counted, stats[name])


def test_memcached_forgets_in_time_and_refuses_what_is_too_big(stage):
    memcached = Memcached(stage)
    bench(*memcached.words(), "--fill", "-k", 10, "-t", 1, "--op", "get", "-n", 10)

    def forgotten():
        return bench(*memcached.words(), "-k", 10, "-n", 100)["hits"] == 0
    until(forgotten, 10, "a second is over")
    refused = bench(*memcached.words(), "--op", "set", "-k", 1, "-s", 2 << 20, "-n", 2, "-c", 1, expect=1)
    assert refused["errors"] == 2 and "object too large" in refused["first_error"]


def test_memcached_is_asked_for_nothing_that_it_does_not_know(stage, redis_server):
    memcached = Memcached(stage)
    assert "get, set, ping" in bench(*memcached.words(), "--op", "incr", expect=2)
    assert "does not speak RESP" in bench("--target", f"127.0.0.1:{memcached.port}", "-n", 1, expect=3)
    assert "does not speak memcached" in bench("--target", f"127.0.0.1:{redis_server.port}", "--protocol", "memcached", "-n", 1,
                                               expect=3)


# --- traces at a rate ---

def test_a_trace_at_a_rate_is_sent_when_it_is_due_and_latency_begins_then(tmp_path, stage):
    trace = tmp_path / "trace"
    trace.write_text("".join(f"0 key{number % 50} 10 0\n" for number in range(400)))
    node = stage.node()
    words = ("--target", f"127.0.0.1:{node.port}", "--trace", trace)
    result = bench(*words, "--rate", 1000)
    assert result["seconds"] >= 0.399 and result["latency_from"] == "schedule"
    assert (result["requests"], result["hits"]) == (400 + 50, 350)

    # All due at once, and one after the other: half of them wait for half of the time.
    result = bench(*words, "--rate", 1e9, "-c", 1, "--trace-mode", "load")
    assert result["latency_ms"]["p50"] >= result["seconds"] * 1000 / 4


def test_clients_with_and_without_a_warm_job_are_compared():
    text = program("warm_foreground.py", "--smoke")
    head, rows = rows_of(text.split("## ")[1])
    assert [row[:2] for row in rows] == [["mixed", "without a job"], ["mixed", "with a job"]] and head[3] == "p99"
    without, with_job = (float(row[3]) for row in rows)
    assert without > 0 and with_job > 0 and float(rows[1][5]) > 0  # keys were warmed meanwhile
    assert abs(float(rows[1][7].split()[0]) - with_job / without) < 0.1
    assert "Goal: p99 with a job is less than 20 % longer: mixed" in text


def test_starts_are_compared_second_by_second(tmp_path):
    trace, svg = tmp_path / "trace", tmp_path / "starts.svg"
    trace.write_text("".join(f"0 key{number * 7 % 900} 10 0\n" for number in range(5000)))
    text = program("warm_start.py", "--smoke", "--memory", "4mb", "--svg", svg, "--only", "cold", "--only", "snapshot", trace)
    assert "2,000 requests before, 3,000 then at 2,000/s (open loop), 900 keys in L2, 900 of them asked before" in text
    ways, seconds = text.split("## ")[1:]
    head, rows = rows_of(ways)
    assert [row[:1] + row[2:3] for row in rows] == [["cold", "yes"], ["snapshot", "yes"]] and head[0] == "way"
    head, rows = rows_of(seconds)
    first, reads, warm, _ = numbers(rows[0][1:])
    assert first < 75 and reads >= 300, rows  # each key once of L2, in the first half second; the first sample may be late
    assert warm > first, rows
    assert svg.read_text().count("<polyline") == 4


def test_a_cluster_that_grows_is_watched_second_by_second(tmp_path):
    svg, figures = tmp_path / "scale.svg", tmp_path / "scale.csv"
    text = program("scale.py", "--smoke", "--only", "warm", "--svg", svg, "--csv", figures)
    ways, seconds = text.split("## ")[1:]
    head, rows = rows_of(ways)
    [row] = [dict(zip(head, row)) for row in rows]
    assert (row["two more nodes start"], row["below 60 s"], row["errors"]) == ("warm", "yes", "0")
    assert row["/readyz says"].startswith("warm: ") and float(row["hits before, %"]) > 90
    assert len(rows_of(seconds)[1]) >= 3 and svg.read_text().count("<polyline") >= 4
    assert figures.read_text().startswith("way,second,hits,hits_new,l2_reads,")
