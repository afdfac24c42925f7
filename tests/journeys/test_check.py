# SPDX-License-Identifier: BSD-3-Clause
"""The load that records and the judge of what it recorded: what is right passes, what is wrong does not."""

import signal
import subprocess
import time

import pytest

import history_file
from harness import until
from history_run import TERRACE, finish_load, judge, start_load, wait_begun
from proxy import FaultProxy

LOAD = ("--keys", 300, "--zipf", 0.99, "--connections", 4, "--pipeline", 16)


@pytest.fixture(scope="module")
def recorded(module_stage, redis_server, two_nodes, tmp_path_factory):
    """Five seconds on two nodes and their Redis, with lives and deletions."""
    path = tmp_path_factory.mktemp("recorded") / "run.hist"
    counts = finish_load(start_load(module_stage, path, two_nodes, redis_server, 5, *LOAD, "--px", 50, "--deletes", 20))
    return path, counts


@pytest.mark.own
def test_nodes_keep_their_promise_under_load(recorded):
    path, counts = recorded
    verdict = judge(path)
    assert verdict.code == 0, verdict.story()
    found = verdict.found
    assert found["reads"] > 100_000 and counts["writes_ok"] > 5_000 and counts["stranger_writes"] > 1_000, counts
    assert found["reads"] == counts["reads"] and found["writes"] == counts["writes"]
    assert counts["strange"] == "" and found["unjudged"] == 0
    assert found["keys_read_back"] == found["keys"] == 300
    assert all(node["reads"] >= 300 for node in found["nodes"].values()) and len(found["nodes"]) == 3


@pytest.mark.own
def test_a_key_that_one_mget_names_twice_has_one_answer(module_stage, redis_server, two_nodes, tmp_path):
    """Looked up twice, it had two in one MGET of half a million, the newer first."""
    path = tmp_path / "mget.hist"
    counts = finish_load(start_load(module_stage, path, two_nodes, redis_server, 4, "--keys", 200, "--zipf", 0.99,
                                    "--connections", 8, "--pipeline", 16, "--mget", 100))
    verdict = judge(path)
    assert verdict.code == 0, verdict.story()
    assert counts["reads"] > 100_000, counts


@pytest.mark.own
def test_one_old_value_in_a_right_history_is_found(recorded, tmp_path):
    path, _ = recorded
    header, records = history_file.read(path)
    last = max(i for i, record in enumerate(records) if record["kind"] == history_file.READ and record["node"] == 0)
    key = records[last]["key"]
    first = next(record["value"] for record in records if record["kind"] == history_file.SET and record["key"] == key)
    records[last]["value"] = first
    planted = tmp_path / "planted.hist"
    history_file.write(planted, header, records)
    verdict = judge(planted)
    assert verdict.code == 1 and sum(verdict.rules.values()) == 1 and verdict.rules.keys() <= {"lost", "stale", "expired"}
    story = verdict.found["stories"][0]["story"]
    assert f"{first:016x}" in story and header["nodes"][0][1] in story


@pytest.mark.own
def test_a_node_that_promises_less_than_is_asked_for_is_found(stage, tmp_path):
    """What the bound forgives, milliseconds of delay on the bus, is not forgiven by a bound of nearly nothing."""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        nodes = [stage.node(l2=proxy.url)]
        proxy.delay(50, "down")
        path = tmp_path / "run.hist"
        finish_load(start_load(stage, path, nodes, redis_server, 5, "--keys", 300, "--zipf", 0.5, "--connections", 8,
                               "--writes", 20, "--stranger", 900, "--bound-ms", 1))
        verdict = judge(path)
    assert verdict.code == 1 and verdict.rules.get("stale", 0) > 2, verdict.rules
    assert 10 < verdict.found["all"]["age_max_ms"] < 1000


@pytest.mark.own
def test_a_node_that_hears_nothing_for_two_seconds_keeps_the_bound(stage, tmp_path):
    """Its links to Redis are frozen one way; strangers write, its own clients hardly do, so that old entries stay. With
    the fence left open hundreds of reads are stale by up to two seconds."""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        nodes = [stage.node(l2=proxy.url), stage.node(l2=redis_server)]
        path = tmp_path / "run.hist"
        load = start_load(stage, path, nodes, redis_server, 4.5, "--keys", 100, "--zipf", 0.5, "--connections", 48,
                          "--pipeline", 1, "--writes", 20, "--stranger", 900, "--rate", 15000)
        wait_begun(path)
        time.sleep(1)  # time itself is the subject here and below: entries settle, then 2.2 s are more than the bound
        proxy.freeze("down")
        time.sleep(2.2)
        proxy.heal()
        finish_load(load)
        verdict = judge(path)
    assert verdict.code == 0, verdict.story()
    assert verdict.found["nodes"][f"127.0.0.1:{nodes[0].port}"]["reads"] > 5_000
    assert verdict.found["all"]["age_max_ms"] > 20, "the freeze was not felt"


def test_a_replica_that_lags_is_found(stage, tmp_path):
    """Not a node at all: a replica of Redis, half a second behind."""
    master = stage.redis()
    with FaultProxy(("127.0.0.1", master.port)) as proxy:
        replica = stage.redis("--replicaof", f"127.0.0.1 {proxy.port}")
        until(lambda: replica.client().info("replication")["master_link_status"] == "up", 20, "the replica is attached")
        proxy.delay(500, "down")
        path = tmp_path / "run.hist"
        counts = finish_load(start_load(stage, path, [replica], master, 2, *LOAD, "--bound-ms", 250, "--stranger", 1000))
        verdict = judge(path)
    assert verdict.code == 1 and {"stale"} <= verdict.rules.keys() <= {"stale", "lost"}, verdict.story()
    assert counts["writes_refused"] == 0 and 300 < verdict.found["all"]["age_max_ms"] < 5000


@pytest.mark.own
def test_redis_and_nodes_may_die_under_the_load(stage, tmp_path):
    """Redis comes back empty; a supervisor's file tells when. Without it the history is called what it is: wrong."""
    redis_server = stage.redis()
    nodes = [stage.node(l2=redis_server), stage.node(l2=redis_server)]
    path, told = tmp_path / "run.hist", tmp_path / "deaths.hist"
    load = start_load(stage, path, nodes, redis_server, 4, *LOAD)
    until(lambda: path.exists() and path.stat().st_size > 4_000_000, 20, "the load is under way")
    nodes[1].process.kill()
    nodes[1].launch()
    nodes[0].process.signal(signal.SIGSTOP)
    size = path.stat().st_size
    until(lambda: path.stat().st_size > size + 2_000_000, 20, "the other node is asked meanwhile")
    nodes[0].process.signal(signal.SIGCONT)
    low = history_file.now_ns()
    redis_server.process.kill()
    assert redis_server.start()
    high = history_file.now_ns()
    counts = finish_load(load)
    header = history_file.read_header(path)
    history_file.write(told, header, history_file.death(1 << 60, low, high))
    verdict = judge(path, told)
    assert verdict.code == 0, verdict.story()
    assert counts["connections_lost"] >= 4 and counts["writes_lost"] + counts["reads_refused"] > 0, counts
    assert verdict.found["reads"] > 50_000
    alone = judge(path)
    assert alone.code == 1 and "stale" in alone.rules, alone.rules


@pytest.mark.own
def test_what_is_no_whole_history_is_refused_with_the_byte(recorded, tmp_path):
    path, _ = recorded
    data = path.read_bytes()
    cut, bent, other = tmp_path / "cut", tmp_path / "bent", tmp_path / "other"
    cut.write_bytes(data[:100_000])
    bent.write_bytes(data[:50_000] + b"\xff" + data[50_001:])
    other.write_bytes(b"hello")
    for broken, why in ((cut, "at byte 100000: the file ends without"), (bent, "the checksum of the block is wrong"),
                        (other, "at byte 0: not a history"), (tmp_path / "none", "No such file")):
        verdict = judge(broken)
        assert verdict.code == 2 and why in verdict.error and broken.name in verdict.error, verdict.error


def test_the_command_line():
    def run(*words):
        done = subprocess.run([TERRACE, *words], capture_output=True, text=True, timeout=10, check=False)
        return done.returncode, done.stdout + done.stderr
    assert run("--version")[0] == 0 and run("--version")[1].startswith("terrace ")
    assert run("--help")[0] == 0 and "check FILE" in run("--help")[1]
    assert run("check", "--help")[0] == 0 and "--strict" in run("check", "--help")[1]
    assert run()[0] == 2 and run("check")[0] == 2 and run("nonsense")[0] == 2
    code, text = run("check", "--nonsense")
    assert code == 2 and "--nonsense" in text
    assert run("check", "--window", "0", "x")[0] == 2
