# SPDX-License-Identifier: BSD-3-Clause
"""`terrace doctor`: a node that is well passes every check, and each check fails on a node that is not, for real."""

import os
import pathlib
import resource
import subprocess

import pytest

import cli
from cli import TERRACE, address, ask
from harness import ROOT, TERRACED, documented_rules, free_port, stand_still, until
from proxy import FaultProxy

pytestmark = pytest.mark.own

CLOCK = ROOT / "build" / "release" / "tests" / "journeys" / "wrong_clock.so"
CHECKS = {"reachable", "version", "coherence", "l2", "l2-latency", "l2-rights", "l2-memory", "tracking", "clock", "l2-clock",
          "clients", "memory", "namespaces", "nodes", "exposure", "admin", "warming", "slow-log"}


def examine(node, *words, **options):
    """(exit code, {check: (verdict, what was seen, advice)})"""
    done = ask(node, *words, "doctor", "--json", **options)
    checks = done.object["nodes"][0]["checks"]
    return done.code, {one["check"]: (one["verdict"], one["seen"], one.get("advice", "")) for one in checks}


def verdict_of(node, check, **options):
    return examine(node, **options)[1][check][0]


def assert_finding(node, check, verdict, seen, **options):
    """This check comes to say so, has advice, and the exit code is that of the worst."""
    found = []

    def holds():
        found[:] = examine(node, **options)
        return found[1][check][0] == verdict and seen in found[1][check][1]
    try:
        until(holds, 10, every_s=0.1)
    except AssertionError:
        raise AssertionError(f"{check} is {found[1][check]}, not {verdict}: {seen}") from None
    code, checks = found
    assert checks[check][2]
    assert code == (1 if "fail" in {one[0] for one in checks.values()} else 0)
    return checks


@pytest.fixture
def redis(stage):
    """One that nothing is wrong with."""
    return stage.redis("--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru")


@pytest.fixture
def node(stage, redis):
    """One that nothing is wrong with, as the doctor says."""
    node = stage.node("--slowlog-log-slower-than", "10000000", l2=redis)
    until(lambda: {one[0] for one in examine(node)[1].values()} == {"ok"}, 20, "all is well", every_s=0.1)
    return node


# --- all is well ------------------------------------------------------------------------------------------------------

def test_a_well_node_passes_every_check(node):
    code, checks = examine(node)
    assert code == 0 and set(checks) == CHECKS
    assert not any(advice for verdict, _, advice in checks.values() if verdict == "ok")
    summary = f"{len(CHECKS)} ok, 0 warnings, 0 failed"
    done = until(lambda: next((one for one in [ask(node, "doctor")] if summary in one.text), None), 20, summary)
    assert done.code == 0 and done.text.splitlines()[0] == address(node)


def test_a_node_alone_is_asked_for_no_l2(stage):
    alone = stage.node("--slowlog-log-slower-than", "10000000")
    until(lambda: {one[0] for one in examine(alone)[1].values()} == {"ok"}, 20, "all is well", every_s=0.1)
    code, checks = examine(alone)
    assert code == 0
    assert not {check for check in checks if check.startswith("l2")} and "tracking" not in checks


def test_several_nodes_are_examined_one_by_one(stage, node):
    other = stage.node()
    done = ask([node, other], "doctor", "--json")
    assert [one["address"] for one in done.object["nodes"]] == [address(node), address(other)]
    where = f"127.0.0.1:{free_port()}"
    done = cli.run("--node", f"{where},{address(node)}", "doctor", "--json")
    assert done.code == 3 and done.object["fail"] == 1
    assert [one["check"] for one in done.object["nodes"][0]["checks"]] == ["reachable"]
    assert len(done.object["nodes"][1]["checks"]) == len(CHECKS)


# --- the node ---------------------------------------------------------------------------------------------------------

def test_another_version_is_seen(stage):
    """The node's own program, which says that it is older."""
    older = stage.folder / "terraced"
    version = subprocess.run([TERRACE, "--version"], capture_output=True, check=True).stdout.split()[1]
    program = pathlib.Path(TERRACED).read_bytes()
    assert program.count(b"terrace_version:" + version) == 1
    older.write_bytes(program.replace(b"terrace_version:" + version, b"terrace_version:0.0.1"))
    older.chmod(0o755)
    assert len(version) == len(b"0.0.1")
    node = stage.node_not_started()
    node.argv = lambda argv=node.argv(): [str(older), *argv[1:]]
    assert node.start()
    assert_finding(node, "version", "warn", f"0.0.1, this program is {version.decode()}")


def test_a_clock_that_is_wrong_is_seen(stage, redis, node):
    """That of the program here; then the node's, by which L2's is wrong."""
    away = {"LD_PRELOAD": str(CLOCK), "WRONG_CLOCK_S": "3600"}
    checks = assert_finding(node, "clock", "fail", "behind this machine's", env=away)
    assert checks["l2-clock"][0] == "ok"
    wrong = stage.node(l2=redis, env={**os.environ, **away})
    until(lambda: verdict_of(wrong, "l2-clock", env=away) == "fail", 20, "the node has asked Redis", every_s=0.1)
    checks = assert_finding(wrong, "l2-clock", "fail", "behind the node's", env=away)
    assert checks["clock"][0] == "ok"


def test_limits_of_connections_are_seen(stage, node):
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (1000, 1000))
    assert_finding(node, "clients", "fail", "1000 open files are allowed, maxclients 10000 needs 10128")
    few = stage.node("--maxclients", "10")
    conns = [few.wire() for _ in range(7)]
    assert_finding(few, "clients", "warn", "8 of 10 connections")
    conns += [few.wire()]
    assert_finding(few, "clients", "fail", "9 of 10 connections")
    for conn in conns:
        conn.close()


def test_a_budget_that_the_machine_has_not_is_seen(node):
    usable = int(node.info()["usable_memory"])
    client = node.client()
    client.config_set("memory", int(usable * 0.8))
    assert_finding(node, "memory", "warn", "L1 may take ")
    client.config_set("memory", int(usable * 0.95))
    assert_finding(node, "memory", "fail", "L1 may take ")


def test_slow_commands_are_seen(node):
    node.client().config_set("slowlog-log-slower-than", "0")
    node.client().get("a-slow-key")
    node.client().config_set("slowlog-log-slower-than", "10000000")
    assert_finding(node, "slow-log", "warn", " entries; ")


def test_what_listens_to_everybody_is_seen(stage):
    """In a network of its own, which has nobody; the node is asked through its Unix socket."""
    inside = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--net"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this machine allows no network of one's own")

    def verdict(*flags, env=None, admin="", check="exposure"):
        node = stage.node_not_started("--listen", "0.0.0.0:7379", "--protected-mode", "no", "--admin", admin, *flags)
        node.process = stage.run(node.name, [*inside, *node.argv()])
        until(lambda: "event=started" in node.process.log(), 15, "it runs")
        done = cli.run("--node", f"unix:{node.unixsocket}", "doctor", "--json", env=env)
        node.end()
        return next(one for one in done.object["nodes"][0]["checks"] if one["check"] == check)

    finding = verdict()
    assert finding["verdict"] == "fail" and "needs no password" in finding["seen"] and "requirepass" in finding["advice"]
    finding = verdict("--requirepass", "secret", env={"TERRACE_PASSWORD": "secret"})
    assert finding["verdict"] == "warn" and "tls://" in finding["advice"] and "secret" not in str(finding)
    finding = verdict("--admin-token", "secret", admin="0.0.0.0:7380", check="admin")
    assert finding["verdict"] == "warn" and "no TLS" in finding["advice"] and "secret" not in str(finding)


def test_what_this_user_may_not_see_is_said(stage):
    node = stage.node()
    node.client().execute_command("ACL", "SETUSER", "guest", "on", ">pass", "~*", "+@connection", "+info", "+time")
    code, checks = examine(node, "--user", "guest", env={"TERRACE_PASSWORD": "pass"})
    assert code == 0
    for check in ("nodes", "exposure", "slow-log"):
        assert checks[check][0] == "warn" and "NOPERM" in checks[check][1], checks[check]
        assert "Ask as a user with +" in checks[check][2]


def test_a_warm_job_that_failed_is_seen(redis, node):
    redis.client().mset({f"w:{i}": "v" for i in range(100)})
    job = ask(node, "warm", "submit", "--pattern", "w:*", "--rate", "1", "--deadline", "1s").text.strip()
    checks = assert_finding(node, "warming", "warn", f"1 warm jobs with failures, last {job} (pattern w:*)")
    assert f"terrace warm status {job}" in checks["warming"][2]


# --- L2 ---------------------------------------------------------------------------------------------------------------

def test_an_l2_that_is_gone_is_seen(redis, node):
    redis.process.kill()
    until(lambda: node.info("coherence")["coherence_state"] == "DETACHED" and "refused" in examine(node)[1]["l2"][1], 10,
          "the node knows, and has tried again", every_s=0.1)
    checks = assert_finding(node, "l2", "fail", f"127.0.0.1:{redis.port}: down: Connection refused")
    assert checks["coherence"][0] == "fail" and "DETACHED" in checks["coherence"][1]
    assert checks["l2-latency"][0] == "fail"


def test_an_l2_that_is_slow_or_stands_still_is_seen(stage, redis):
    with FaultProxy(("127.0.0.1", redis.port)) as proxy:
        node = stage.node("--l2-timeout", "5s", l2=proxy.url)
        until(lambda: verdict_of(node, "l2-latency") == "ok", 20, "it is quick")
        proxy.delay(30, "down")
        assert_finding(node, "l2-latency", "warn", "a round trip from the node takes ")
        proxy.heal()
        stand_still(redis.process)
        try:
            done = ask(node, "--timeout", "500ms", "doctor", "--json")
        finally:
            stand_still(redis.process, is_to=False)
        checks = {one["check"]: one for one in done.object["nodes"][0]["checks"]}
        assert done.code == 1 and checks["l2-latency"]["verdict"] == "fail"
        assert "L2 did not answer" in checks["l2-latency"]["seen"]


def set_user(redis, *rules):
    redis.client().execute_command("ACL", "SETUSER", "doc", "reset", "on", ">secret", *documented_rules(), *rules)
    return f"redis://doc:secret@127.0.0.1:{redis.port}"


def test_a_right_that_is_missing_is_seen(stage, redis):
    """A node that had to wait for its Redis does not end for want of a right."""
    set_user(redis, "-wait")
    with FaultProxy(("127.0.0.1", redis.port)) as proxy:
        proxy.refuse()
        node = stage.node_not_started("--slowlog-log-slower-than", "10000000", l2=f"redis://doc:secret@127.0.0.1:{proxy.port}")
        node.launch()
        until(lambda: node.answers_ping() and verdict_of(node, "l2") == "fail", 15, "it waits for L2", every_s=0.1)
        assert verdict_of(node, "l2-rights") == "warn"
        proxy.heal()
        checks = assert_finding(node, "l2-rights", "fail", "WAIT")
    assert "ACL SETUSER NAME on >PASSWORD " + " ".join(documented_rules()) in checks["l2-rights"][2]


def test_an_l2_that_announces_nothing_is_seen(stage, redis):
    url = set_user(redis, "-client|tracking")
    node = stage.node(l2=url)
    assert_finding(node, "tracking", "fail", "no: ")
    told = stage.node("--writers", "nodes", l2=url)
    assert_finding(told, "tracking", "warn", "no: ")


def test_how_l2_evicts_is_seen(stage):
    for flags, seen in ((["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"], "may evict the nodes' own keys"),
                        (["--maxmemory", "100mb", "--maxmemory-policy", "noeviction"], "a full L2 refuses writes"),
                        ([], "maxmemory is not set")):
        assert_finding(stage.node(l2=stage.redis(*flags)), "l2-memory", "warn", seen)


# --- the others -------------------------------------------------------------------------------------------------------

def test_a_node_that_was_killed_is_seen(stage, redis, node):
    other = stage.node(l2=redis)
    until(lambda: examine(node)[1]["nodes"][1] == "2 heard", 10, "it is heard", every_s=0.1)
    other.process.kill()
    until(lambda: verdict_of(node, "nodes") == "warn", 10, "it is missed", every_s=0.1)
    assert_finding(node, "nodes", "warn", f"1 heard, 1 in trouble: {address(other)} GONE")


def test_namespaces_that_differ_are_seen(stage, redis, node):
    conf = stage.folder / "other.conf"
    conf.write_text("[namespace m]\nprefix = m:\nformat = managed\n")
    stage.node(str(conf), l2=redis)
    until(lambda: verdict_of(node, "namespaces") == "fail", 10, "it is heard", every_s=0.1)
    assert_finding(node, "namespaces", "fail", "1 nodes have others")
