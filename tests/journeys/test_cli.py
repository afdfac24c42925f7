# SPDX-License-Identifier: BSD-3-Clause
"""`terrace`, verb by verb: what it prints, what it says to scripts (exit codes, JSON), how it fails."""

import json
import os
import signal
import subprocess
import threading

import pytest

from cli import TERRACE, address, ask, environment, run
from harness import free_port, stand_still, until

pytestmark = pytest.mark.own

MANAGED = "[namespace m]\nprefix = m:\nformat = managed\nttl = 1h\nswr = 1m\nnegative-ttl = 5s\n"


@pytest.fixture(scope="module")
def nodes(module_stage):
    conf = module_stage.folder / "cli.conf"
    conf.write_text(MANAGED)
    redis = module_stage.redis()
    both = [module_stage.node(str(conf), l2=redis) for _ in range(2)]
    until(lambda: all(int(node.info()["coherence_nodes"]) == 2 for node in both), 5, "they hear each other")
    both[0].l2 = redis
    return both


@pytest.fixture
def node(nodes):
    nodes[0].client().flushall()
    return nodes[0]


# --- get, set, del, mget ----------------------------------------------------------------------------------------------

def test_a_value_comes_back_as_it_was_given(node):
    done = ask(node, "set", "k", "grüß")
    assert (done.code, done.out) == (0, b"OK\n")
    done = ask(node, "get", "k")
    assert (done.code, done.out, done.err) == (0, "grüß\n".encode(), b"")


def test_bytes_pass_through_as_they_are(node):
    value = bytes(range(256)) * 40 + b"\n"
    assert ask(node, "set", "bytes", "-", stdin=value).code == 0
    assert node.client().get("bytes") == value
    assert ask(node, "get", "bytes").out == value + b"\n"
    shown = ask(node, "get", "bytes", "--json").object
    assert list(shown["value"]) == ["base64"]
    import base64
    assert base64.b64decode(shown["value"]["base64"]) == value


def test_a_large_value_and_an_empty_one_pass(node):
    value = os.urandom(3_000_000)
    assert ask(node, "set", "large", "-", stdin=value).code == 0
    assert ask(node, "get", "large").out == value + b"\n"
    assert ask(node, "set", "empty", "-").code == 0
    done = ask(node, "get", "empty")
    assert (done.code, done.out) == (0, b"\n")
    assert ask(node, "get", "empty", "--json").object["value"] == ""


def test_what_is_not_there_is_exit_1_and_silence(node):
    done = ask(node, "get", "none")
    assert (done.code, done.out, done.err) == (1, b"", b"")
    done = ask(node, "get", "--json", "none")
    assert done.code == 1
    assert done.object == {"key": "none", "status": "MISS", "reason": "ABSENT", "value": None}


def test_a_dash_is_part_of_a_key_behind_two(node):
    assert ask(node, "set", "--", "--json", "-x").code == 0
    assert node.client().get("--json") == b"-x"
    assert ask(node, "get", "--", "--json").out == b"-x\n"


def test_a_write_has_a_life_and_a_condition(node):
    assert ask(node, "set", "k", "v", "--ttl", "1h").code == 0
    assert 3500 < node.client().ttl("k") <= 3600
    done = ask(node, "set", "k", "w", "--nx")
    assert done.code == 1 and b"the condition does not hold" in done.err
    assert ask(node, "set", "k", "w", "--nx", "--json").object["status"] == "UNMET"
    assert ask(node, "set", "k", "w", "--xx").code == 0
    assert node.client().get("k") == b"w"
    for words in (["--nx", "--xx"], ["--nx", "--tag", "t"], ["--ttl", "0"]):
        assert ask(node, "set", "k", "v", *words).code == 2


def test_a_seq_covers_the_write_on_another_node(nodes, node):
    seq = int(ask(node, "set", "k", "1", "--seq").out)
    assert ask(nodes[1], "get", "k", "--atleast", seq).out == b"1\n"
    seq = ask(node, "set", "k", "2", "--seq", "--json").object["seq"]
    assert ask(nodes[1], "get", "k", "--atleast", seq).out == b"2\n"


def test_del_counts_what_was_there(node):
    node.client().mset({"a": 1, "b": 2})
    done = ask(node, "del", "a", "b", "c")
    assert (done.code, done.out) == (0, b"2\n")
    done = ask(node, "del", "a")
    assert (done.code, done.out) == (1, b"0\n")
    assert ask(node, "del", "a", "--json").object == {"deleted": 0}


def test_mget_prints_those_that_are_there(node):
    node.client().mset({"a": "1", "b": "2"})
    done = ask(node, "mget", "a", "none", "b")
    assert (done.code, done.out) == (0, b"a\t1\nb\t2\n")
    done = ask(node, "mget", "x", "y")
    assert (done.code, done.out) == (1, b"")
    values = ask(node, "mget", "a", "none", "--json").object["values"]
    assert [(one["key"], one["value"]) for one in values] == [("a", "1"), ("none", None)]


def test_what_the_node_refuses_is_said_in_its_words(node):
    node.client().rpush("list", "x")
    done = ask(node, "get", "list")
    assert done.code == 1 and b"list: WRONGTYPE" in done.err
    done = ask(node, "get", "list", "--json")
    assert "WRONGTYPE" in done.object["error"] and done.object["exit"] == 1


def test_verbose_tells_age_and_life(node):
    node.client().set("k", "v", px=100_000)
    done = ask(node, "get", "k", "-v")
    assert done.out == b"v\n" and b"OK, age " in done.err and b"ttl 1m" in done.err


# --- fetch ------------------------------------------------------------------------------------------------------------

def test_fetch_loads_once_and_for_everybody(nodes, node):
    done = ask(node, "fetch", "m:load", "--ttl", "1h", "--tag", "t", "--", "echo", "loaded")
    assert (done.code, done.out) == (0, b"loaded\n")
    done = ask(nodes[1], "fetch", "m:load", "--", "echo", "again")
    assert (done.code, done.out) == (0, b"loaded\n\n")  # the value ends with a line end of its own
    assert ask(node, "tags", "m:load").out == b"t\n"


def test_a_command_that_fails_fails_the_load(node):
    done = ask(node, "fetch", "m:bad", "--", "sh", "-c", "exit 3")
    assert done.code == 1 and b"sh: ended with 3" in done.err
    done = ask(node, "fetch", "m:none", "--", "/nowhere/at-all")
    assert done.code == 1 and b"/nowhere/at-all: No such file" in done.err
    done = ask(node, "fetch", "m:nothing", "--negative", "1m", "--", "false")
    assert done.code == 1
    assert ask(node, "fetch", "m:nothing", "--json").object["status"] == "NEGATIVE"
    assert ask(node, "fetch", "m:nothing", "--negative", "2m", "--", "false").code == 2


def test_a_load_without_a_command_is_handed_on(node):
    done = ask(node, "fetch", "m:free", "--json")
    assert done.code == 1 and done.object["status"] == "LOAD" and done.object["loaded"] is False
    with node.wire() as conn:  # the lease was given back: the next one does not wait until it runs out
        until(lambda: conn.ask("CACHE.FETCH", "m:free", "HARD", "1000")[:1] == [b"LOAD"], 10, "it may be loaded")


def test_a_contract_chooses_who_answers(node):
    node.client().set("k", "v")
    hits = lambda: int(node.info()["l1_hits"])  # noqa: E731
    until(lambda: (before := hits()) is not None and ask(node, "get", "k").code == 0 and hits() > before, 10, "L1 has it")
    before = hits()
    assert ask(node, "get", "k", "--fresh").out == b"v\n"
    assert hits() == before
    assert ask(node, "fetch", "k", "--any", "--json").object["age_ms"] >= 0
    assert ask(node, "get", "k", "--any", "--fresh").code == 2


def test_a_contract_that_cannot_be_kept_is_an_error(stage):
    redis = stage.redis()
    node = stage.node("--l2-timeout", "300ms", l2=redis)
    node.client().set("k", "v")
    until(lambda: ask(node, "get", "k").code == 0, 5, "it is read")
    redis.process.kill()
    until(lambda: node.info()["l2_state"] == "down", 10, "the node knows")
    done = ask(node, "get", "k", "--fresh")
    assert done.code == 3 and b"terrace get: k: L2DOWN " in done.err, done
    assert ask(node, "get", "k", "--any").out == b"v\n"


# --- invalidate -------------------------------------------------------------------------------------------------------

def test_each_target_is_invalidated(nodes, node):
    client = node.client()
    for words, count in ((["key", "a"], None), (["prefix", "pre:"], 2), (["pattern", "pat?"], 2)):
        client.mset({"a": 1, "pre:1": 1, "pre:2": 1, "pat1": 1, "pat2": 1, "rest": 1})
        done = ask(node, "invalidate", *words, "--json", "--sync", "5s")
        assert done.code == 0 and done.object["seq"] > 0, done
        assert count is None or done.object["count"] == count
        gone = {"key": ["a"], "prefix": ["pre:1", "pre:2"], "pattern": ["pat1", "pat2"]}[words[0]]
        assert client.exists(*gone) == 0 and client.exists("a", "pre:1", "pre:2", "pat1", "pat2", "rest") == 6 - len(gone)


def test_tags_are_invalidated_by_any_or_all(node):
    def fill():
        for name, tags in (("both", "xy"), ("x", "x"), ("y", "y")):
            assert ask(node, "set", f"m:{name}", "v", *[word for tag in tags for word in ("--tag", tag)]).code == 0

    def left():
        return {name for name in ("both", "x", "y") if node.client().get(f"m:{name}")}

    fill()
    assert ask(node, "invalidate", "tag", "x", "y", "--all-of").code == 0
    assert left() == {"x", "y"}
    fill()
    assert ask(node, "invalidate", "tag", "x", "--ns", "m").code == 0
    assert left() == {"y"}


def test_a_dry_run_changes_nothing(node):
    node.client().mset({"pre:1": 1, "pre:2": 1})
    done = ask(node, "invalidate", "prefix", "pre:", "--dry-run")
    assert (done.code, done.out) == (0, b"would end 2 values\n")
    assert node.client().exists("pre:1", "pre:2") == 2
    done = ask(node, "invalidate", "all", "--soft")
    assert done.code == 0 and b"seq " in done.out and node.client().exists("pre:1") == 1


def test_a_target_and_its_words_must_fit(node):
    for words in (["keys", "a"], ["key"], ["all", "x"], ["prefix", "p", "--all-of"], ["key", "a", "--sync", "soon"]):
        assert ask(node, "invalidate", *words).code == 2, words
    done = ask(node, "invalidate", "key", "a", "--ns", "nowhere")
    assert done.code == 1 and b"nowhere" in done.err


# --- looking ----------------------------------------------------------------------------------------------------------

def test_stats_are_those_of_info(node):
    text = ask(node, "stats", "l1").text
    assert text.startswith("# L1\n") and "l1_policy:lru" in text
    everything = ask(node, "stats", "--json").object
    assert {"server", "clients", "memory", "stats", "l1", "l2", "coherence", "namespaces"} <= set(everything)
    assert everything["l1"]["l1_policy"] == "lru"
    assert everything["namespaces"]["ns_m"]["format"] == "managed"
    assert ask(node, "stats", "nosuch").code == 2


def test_nodes_are_listed_by_address_and_state(nodes):
    def lines():
        return ask(nodes[0], "nodes").text.splitlines()
    assert lines()[0].split()[:3] == ["NODE", "ADDRESS", "STATE"]
    until(lambda: {tuple(line.split()[1:3]) for line in lines()[1:]} == {(address(node), "SYNCED") for node in nodes}, 10,
          "both are SYNCED")  # one that has just come is CATCHUP
    shown = ask(nodes[0], "nodes", "--json").object["nodes"]
    assert {one["address"]: one["self"] for one in shown} == {address(nodes[0]): True, address(nodes[1]): False}


def test_namespaces_have_their_rules_and_figures(node):
    lines = {line.split()[0]: line for line in ask(node, "namespaces").text.splitlines()}
    assert " m: " in lines["m"] and " managed " in lines["m"] and " 1h00m " in lines["m"]
    assert "plain" in lines["default"]
    assert {one["name"] for one in ask(node, "namespaces", "--json").object["namespaces"]} == {"default", "m"}


def test_explain_says_why(node):
    node.client().set("m:k", "v")
    text = ask(node, "explain", "m:k").text
    assert "namespace             m\n" in text and "\nwhy " in text
    assert ask(node, "explain", "m:k", "--json").object["format"] == "managed"


def test_tags_of_nothing_are_exit_1(node):
    assert ask(node, "tags", "m:none").code == 1
    ask(node, "set", "m:t", "v", "--tag", "a", "--tag", "b")
    assert sorted(ask(node, "tags", "m:t").text.split()) == ["a", "b"]
    assert sorted(ask(node, "tags", "m:t", "--json").object["tags"]) == ["a", "b"]


def test_ping_counts_and_sums_up(nodes):
    done = ask(nodes, "ping", "-c", "3", "-i", "1ms")
    assert done.code == 0
    assert len([line for line in done.text.splitlines() if "3 of 3 answered, min " in line]) == 2
    shown = ask(nodes, "ping", "-c2", "-i1ms", "--json").object["nodes"]
    assert [(one["address"], one["answered"]) for one in shown] == [(address(node), 2) for node in nodes]
    assert 0 < shown[0]["min_us"] <= shown[0]["max_us"]


# --- which node, as whom ----------------------------------------------------------------------------------------------

def test_nobody_there_is_exit_3_and_says_where():
    where = f"127.0.0.1:{free_port()}"
    for words in (["get", "k"], ["set", "k", "v"], ["nodes"], ["ping"], ["doctor"], ["top", "--once", "-i", "100ms"], ["watch"]):
        done = run("--node", where, "--timeout", "2s", *words)
        assert done.code == 3, done
        assert words[0] in ("doctor", "top") or where.encode() in done.err, done
    done = run("--json", "--node", where, "get", "k")
    assert done.code == 3 and where in done.object["error"] and done.object["exit"] == 3


def test_the_first_node_that_answers_is_asked(node):
    node.client().set("k", "v")
    done = run("--node", f"127.0.0.1:{free_port()},{address(node)}", "get", "k")
    assert (done.code, done.out) == (0, b"v\n")


def test_a_node_that_stands_still_is_not_waited_for_longer_than_said(nodes):
    stand_still(nodes[1].process)
    try:
        done = ask(nodes[1], "--timeout", "300ms", "get", "k")
    finally:
        stand_still(nodes[1].process, is_to=False)
    assert done.code == 3, done


def test_a_unix_socket_and_a_database_are_reached(node):
    done = run("--node", f"unix:{node.unixsocket}", "--db", "3", "set", "k", "three")
    assert done.code == 0, done
    assert node.client(db=3).get("k") == b"three" and node.client().get("k") is None
    done = run("--url", f"terrace://{address(node)}/3", "get", "k")
    assert (done.code, done.out) == (0, b"three\n"), done


def test_users_log_in_by_environment_option_or_url(stage):
    node = stage.node("--requirepass", "secret")
    admin = node.client(password="secret")
    admin.execute_command("ACL", "SETUSER", "reader", "on", ">pass", "~r:*", "+@read", "+@connection", "+cache.fetch")
    admin.set("r:1", "v")
    done = ask(node, "get", "r:1")
    assert done.code == 1 and b"NOAUTH" in done.err, done
    done = ask(node, "get", "r:1", env={"TERRACE_PASSWORD": "wrong"})
    assert done.code == 1 and b"WRONGPASS" in done.err and b"wrong" not in done.err, done
    assert ask(node, "get", "r:1", env={"TERRACE_PASSWORD": "secret"}).out == b"v\n"
    assert ask(node, "--user", "reader", "--password", "pass", "get", "r:1").out == b"v\n"
    assert run("--url", f"terrace://reader:pass@{address(node)}", "get", "r:1").out == b"v\n"
    done = ask(node, "-u", "reader", "set", "r:1", "w", env={"TERRACE_PASSWORD": "pass"})
    assert done.code == 1 and b"NOPERM" in done.err, done


def test_tls_is_spoken_and_certificates_are_looked_at(stage):
    stage.tls()
    certificate, port = stage.folder / "tls.crt", free_port()
    node = stage.node_not_started("--listen", f"tls://127.0.0.1:{port}", "--tls-cert-file", str(certificate), "--tls-key-file",
                      str(stage.folder / "tls.key"), "--tls-auth-clients", "no", "--admin", "")
    node.launch()
    until(lambda: "event=started" in node.process.log(), 15, "it runs")
    where = f"127.0.0.1:{port}"
    done = run("--url", f"terraces://{where}?tls-name=node", "--ca", certificate, "set", "k", "v")
    assert (done.code, done.out) == (0, b"OK\n"), done
    for words in (["--node", where, "--tls"],                                    # nobody vouches for it
                  ["--node", where, "--tls", "--ca", certificate],               # it is of another name
                  ["--node", where, "--timeout", "500ms"]):                      # it wants TLS
        assert run(*words, "get", "k").code == 3, words


def test_a_write_that_nobody_answers_is_exit_3_and_one_that_is_not_everywhere_yet_exit_1(stage):
    redis = stage.redis()
    node, other = stage.node(l2=redis), stage.node(l2=redis)
    until(lambda: int(node.info()["coherence_nodes"]) == 2, 5, "they hear each other")
    stand_still(other.process)
    done = ask(node, "invalidate", "key", "k", "--sync", "100ms", "--json")
    assert done.code == 1 and "STALE not applied on all nodes" in done.object["error"], done
    stand_still(other.process, is_to=False)
    stand_still(redis.process)
    try:
        for words in (["set", "k", "v"], ["del", "k"], ["invalidate", "key", "k", "--sync", "100ms"]):
            done = ask(node, "--timeout", "300ms", *words)
            # "within 300 ms" says the client, "in time" (UNKNOWN) the node, which was told how long he waits: who is first
            assert done.code == 3 and b"not answered " in done.err, done
    finally:
        stand_still(redis.process, is_to=False)


# --- usage ------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("words, said", [
    ([], b"Usage: terrace"), (["nosuch"], b"no verb 'nosuch'"), (["get"], b"expected KEY"), (["get", "a", "b"], b"too many"),
    (["get", "k", "--ttl", "1s"], b"--ttl: unknown option"), (["--timeout", "never", "get", "k"], b"--timeout: expected a time"),
    (["--timeout", "0", "get", "k"], b"--timeout"), (["--color", "pink", "get", "k"], b"auto, always or never"),
    (["--node", "", "get", "k"], b"--node"), (["--db", "99", "get", "k"], b"db"), (["top", "--sort", "x"], b"--sort"),
    (["top", "--interval", "1ms"], b"--interval"), (["completions", "fish"], b"bash or zsh"), (["check"], b"which FILE"),
    (["check", "--window", "0", "x"], b"--window"), (["check", "--nosuch"], b"unknown option '--nosuch'"),
    (["check", "/no/such/file"], b"/no/such/file"),
])
def test_wrong_usage_is_exit_2_and_one_line(words, said):
    done = run(*words)
    assert done.code == 2 and said in done.err and done.out == b"", done
    assert not words or len(done.err.splitlines()) == 1
    done = run("--json", *words)
    assert done.code == 2 and done.object["exit"] == 2 and (said.decode() if words else "which VERB") in done.object["error"], done


def test_help_and_version_are_no_errors():
    for words in (["--help"], ["-h"], ["get", "--help"], ["check", "--help"], ["--version"]):
        done = run(*words)
        assert done.code == 0 and done.out and not done.err, done
    assert run("--version", "--json").object["version"] in run("--version").out.decode()


def test_colours_are_for_terminals_or_who_asks_for_them(node):
    assert b"\x1b" not in ask(node, "nodes").out
    assert b"\x1b[32m" in ask(node, "--color", "always", "nodes").out
    assert b"\x1b" not in ask(node, "--color", "never", "nodes").out


def test_keys_cannot_send_commands_to_the_terminal(node):
    node.client().set("k\x1b[2J", "v")
    for words in (["explain", "k\x1b[2J"], ["get", "no\x1b[2J\nsuch", "--fresh", "--any"]):
        done = ask(node, *words)
        assert b"\x1b" not in done.out + done.err, done


# --- pipes and signals ------------------------------------------------------------------------------------------------

def test_a_reader_that_goes_away_is_no_noise(node):
    node.client().set("large", b"x" * 4_000_000)
    with subprocess.Popen([TERRACE, "--node", address(node), "get", "large"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env=environment()) as popen:
        popen.stdout.read(10)
        popen.stdout.close()
        assert popen.stderr.read() == b""
        assert popen.wait(20) == -signal.SIGPIPE


def test_a_full_disk_is_an_error():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([TERRACE, "--json", "nosuch"], stdout=full, stderr=subprocess.PIPE, check=False, env=environment())
    assert done.returncode in (1, 2) and b"No space left" in done.stderr


def test_watch_prints_what_changes_until_ctrl_c(nodes, node):
    with subprocess.Popen([TERRACE, "--node", address(node), "watch", "--json", "w:"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=environment()) as popen:
        stop = threading.Event()

        def write():  # until it is seen: the watch begins at some moment
            with nodes[1].wire() as conn:
                while not stop.wait(0.05):
                    conn.ask("SET", "other", "x")
                    conn.ask("SET", "w:\xfc", "x")
        writer = threading.Thread(target=write)
        writer.start()
        try:
            changes = [json.loads(popen.stdout.readline()) for _ in range(3)]
        finally:
            stop.set()
            writer.join()
        keys = [change["key"] for change in changes if not change["all"]]
        assert keys and set(keys) == {"w:\xfc"} and all(change["time"] > 1e9 for change in changes)
        popen.send_signal(signal.SIGINT)
        popen.stdout.read()
        assert popen.wait(20) == 0 and popen.stderr.read() == b""


def test_watch_ends_after_so_many(node):
    with subprocess.Popen([TERRACE, "--node", address(node), "watch", "--count", "2", "w2"], stdout=subprocess.PIPE,
                          env=environment()) as popen:
        with node.wire() as conn:
            until(lambda: conn.ask("SET", "w2", "x") and popen.poll() is not None, 20, "it ends", every_s=0.05)
        lines = popen.stdout.read().splitlines()
    assert len(lines) == 2 and {line.split()[1] for line in lines} <= {b"w2", b"*"}


def test_ping_ends_with_ctrl_c_and_sums_up(node):
    with subprocess.Popen([TERRACE, "--node", address(node), "ping", "-c", "0", "-i", "20ms"], stdout=subprocess.PIPE,
                          env=environment()) as popen:
        for _ in range(3):
            assert popen.stdout.readline()
        popen.send_signal(signal.SIGINT)
        assert b" answered, min " in popen.stdout.read()
        assert popen.wait(20) == 0
