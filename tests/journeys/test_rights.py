# SPDX-License-Identifier: BSD-3-Clause
"""What L2 lets a node do: a user with exactly the rights of the documents, users who lack one, a Redis that may evict the
nodes' keys or whose keys are deleted by hand."""

import re

import pytest

import warm
from harness import BOUND_S, SLACK_S, documented_rules, log_lines, until
from history_run import finish_load, judge, start_load, wait_begun

pytestmark = pytest.mark.own

EX_CONFIG = 78
OUR_KEYS = ["terrace:meta", "terrace:seq", "terrace:nodes"]


RULES = documented_rules()


def set_user(redis_server, *changes, rules=None):
    """A user with the documented rights, then changed; the URL of that user."""
    client = redis_server.client()
    client.execute_command("ACL", "SETUSER", "terrace", "reset", "on", ">secret", *(RULES if rules is None else rules))
    if changes:
        client.execute_command("ACL", "SETUSER", "terrace", *changes)
    return f"redis://terrace:secret@127.0.0.1:{redis_server.port}"


def launch(stage, url, *flags):
    node = stage.node_not_started(*flags, l2=url)
    node.launch()
    return node


def log_line(node, event):
    return next(iter(log_lines(node, event)), "")


# --- exactly these rights ---------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def granted(module_stage, redis_server):
    """Two nodes whose user has the documented rights and no other."""
    url = set_user(redis_server)
    return module_stage.node(l2=url), module_stage.node(l2=url)


def test_the_documented_rights_are_enough(granted, redis_server):
    one, two = granted
    for node in granted:
        fields = node.info()
        assert fields["l2_rights"] == "granted" and fields["l2_rights_missing"] == ""
        until(lambda: node.admin("/readyz")[0] == 200, 5, "it is ready")
    with one.wire() as a, two.wire() as b, redis_server.wire() as stranger:
        for i in range(50):
            assert a.ask("SET", "k", i) == b"OK"
            until(lambda value=str(i).encode(): b.ask("GET", "k") == value, BOUND_S + SLACK_S, "the other node follows")
            stranger.ask("INCR", "k")
            until(lambda i=i: a.ask("GET", "k") == str(i + 1).encode(), 1 + SLACK_S, "the stranger's write is seen")
        assert a.ask("MSET", "x", 1, "y", 2) == b"OK" and b.ask("MGET", "x", "y") == [b"1", b"2"]
        a.ask("SELECT", 3)
        assert a.ask("LPUSH", "list", "v") == 1
        assert isinstance(a.ask("CACHE.LASTSEQ"), int)
        assert a.ask("CACHE.INVALIDATE", "KEY", "x", "SYNC", 2000)[0] > 0
        assert len(a.ask("CACHE.NODES")) == 2
    until(lambda: {node.info()["coherence_nodes"] for node in granted} == {"2"}, 5, "they hear each other")


def test_what_the_application_may_not_do_is_an_error_of_redis(granted):
    with granted[0].wire() as conn:
        for words in (["FLUSHALL"], ["KEYS", "*"], ["SWAPDB", 0, 1]):
            assert re.search("NOPERM|can't run this command", str(conn.ask(*words))), words
        assert conn.ask("PING") == b"PONG"


def test_a_lost_write_is_killed_with_these_rights(redis_server):
    user = redis_server.client(username="terrace", password="secret")
    assert user.execute_command("CLIENT", "KILL", "ID", 999999999) == 0


def test_the_node_tells_how_the_clock_of_redis_stands_to_its_own(granted):
    """Both are this machine's here; what a wrong one looks like is in test_cli_doctor.py."""
    info = until(lambda: next(iter([seen for seen in [granted[0].info()] if "l2_clock_ahead_ms" in seen]), None), 5, "it was asked")
    assert abs(int(info["l2_clock_ahead_ms"])) < 5000
    assert int(info["usable_memory"]) > 0 and int(info["max_open_files"]) > 0


# --- one is missing ---------------------------------------------------------------------------------------------------

REFUSALS = {
    "EVAL of the beat": ["-eval"],
    "INFO": ["-info"],
    "PUBLISH on terrace:*": ["resetchannels", "&__redis__:invalidate"],
    "SUBSCRIBE to __redis__:invalidate and terrace:bus": ["resetchannels", "&terrace:*"],
    "CLIENT KILL": ["-client|kill"],
    "CLIENT ID": ["-client|id"],
    "SELECT coherence-db": ["-select"],
    "INCR of terrace:*": ["resetkeys", "~app:*"],
    "HDEL of terrace:*": ["-hdel"],
    "MULTI": ["-multi"],
    "WAIT": ["-wait"],
    "COMMAND": ["-command"],
}


@pytest.mark.parametrize("missing", REFUSALS)
def test_a_right_that_is_missing_ends_the_node_at_its_start(stage, redis_server, missing):
    """The channel rights too, which would show as stale data otherwise: within seconds, with the line that grants them."""
    node = launch(stage, set_user(redis_server, *REFUSALS[missing]))
    assert node.process.wait(5) == EX_CONFIG, node.process.log()
    line = log_line(node, "l2_rights")
    assert f"{missing}" in line and "user 'terrace'" in line, line
    assert f"ACL SETUSER terrace {' '.join(RULES)}" in line, line
    assert "secret" not in node.process.log()


def test_the_line_that_grants_them_is_whole_however_many_are_missing(stage, redis_server):
    user = set_user(redis_server, "-@all", "+auth", "+hello", "+client", "resetkeys", "resetchannels")
    node = launch(stage, user)
    assert node.process.wait(5) == EX_CONFIG, node.process.log()
    assert f"ACL SETUSER terrace {' '.join(RULES)}\"" in log_line(node, "l2_rights")


def test_who_may_not_read_a_piece_of_a_value_serves_and_says_once_that_nothing_is_warmed(stage, redis_server):
    """What nobody waits for is read so. Values that became suspect are tried once, and not for ever."""
    admin = redis_server.client()
    admin.set("w:read", "v")
    node = stage.node(l2=set_user(redis_server, "-getrange"))
    until(lambda: node.admin("/readyz")[0] == 200, 5, "it is ready")
    fields = node.info()
    assert fields["l2_rights"] == "granted" and fields["l2_rights_missing"] == "GETRANGE"
    with node.wire() as conn:
        until(lambda: [conn.ask("GET", "w:read"), node.l1_items()][1] >= 1, 5, "a client's read is kept")
        assert admin.client_kill_filter(_type="pubsub") >= 1
        until(lambda: int(node.info()["bus_losses"]) > 0, 5, "the cut is seen")
        node.wait_synced(5)
        until(lambda: (lambda seen: "failed=0" not in seen["revalidated"] and seen["coherence_revalidating"] == "0")(node.info()), 10,
              "it was tried, and that was the end of it")
        assert conn.ask("GET", "w:read") == b"v"
    line, = log_lines(node, "l2_warms_not")
    assert "user 'terrace'" in line and "GETRANGE" in line and f"ACL SETUSER terrace {' '.join(RULES)}" in line, line


def test_a_job_of_who_may_not_read_a_piece_of_a_value_ends_and_says_why(stage, redis_server):
    redis_server.client().set("w:read", "v")
    node = stage.node(l2=set_user(redis_server, "-getrange"))
    node.wait_synced()
    done = warm.run(node, {"keys": ["w:read"]}, target="self")
    assert (done["loaded"], done["failed"]) == (0, 1) and "NOPERM" in done["failures"][0]["why"], done
    assert not log_lines(node, "warm_queue_trouble")


def test_a_queue_of_which_one_question_is_refused_again_and_again_is_told_once(stage, redis_server):
    """Another one is answered in between, which is no end of it."""
    node = stage.node(l2=set_user(redis_server, "-hlen"))
    until(lambda: log_lines(node, "warm_queue_trouble"), 10, "it is told")
    warm.submit(node, {"keys": ["w:read"]}, target="self")

    def refused():
        return redis_server.client().info("commandstats")["cmdstat_hlen"]["rejected_calls"]
    before = refused()
    until(lambda: refused() > before + 1, 20, "and asked again", every_s=0.1)
    assert len(log_lines(node, "warm_queue_trouble")) == 1


def test_who_may_not_ask_what_a_key_takes_in_memory_warms_hashes_all_the_same(stage, redis_server):
    admin = redis_server.client()
    admin.hset("w:hash", mapping={"f": "v", "g": "w" * 1000})
    admin.hset("w:large", mapping={f"f{i}": "v" * 100_000 for i in range(4)})
    node = stage.node(l2=set_user(redis_server, "-memory"))
    node.wait_synced()
    done = warm.run(node, {"keys": ["w:hash", "w:large"]}, target="self")
    assert (done["loaded"], done["skipped"], done["failed"]) == (1, 1, 0), done
    before = int(node.info("everything")["l1_hits"])
    with node.wire() as conn:
        assert conn.ask("HMGET", "w:hash", "f", "g") == [b"v", b"w" * 1000]
    assert int(node.info("everything")["l1_hits"]) > before


@pytest.mark.parametrize("flags", [[], ["--writers", "nodes"]])
def test_a_block_is_one_step_or_nothing_also_when_multi_is_taken_away(stage, redis_server, flags):
    """Redis would run its commands one by one then; the node closes the connection before it can."""
    url = set_user(redis_server)
    admin = redis_server.client()
    node = stage.node("--threads", "1", "--l2-timeout", "10s", *flags, l2=url)
    block = [["MULTI"], ["SET", "k", "2"], ["SET", "l", "2"], ["EXEC"]]
    refused = b"NOPERM this user has no permissions to run the 'multi' command"
    with node.wire() as conn, node.wire() as other:
        assert conn.pipeline([["SET", "k", "1"], ["DEL", "l"], *block])[-1] == [b"OK", b"OK"]
        admin.mset({"k": "1", "l": "1"})
        admin.execute_command("ACL", "SETUSER", "terrace", "-multi")
        for lines in block, [["WATCH", "k"], *block], [["MULTI"], ["GET", "k"], ["EXEC"]]:
            assert conn.pipeline(lines)[-1] == refused
            assert admin.mget("k", "l") == ["1", "1"] or admin.mget("k", "l") == [b"1", b"1"]
            until(lambda: other.ask("PING") == b"PONG" and other.ask("STRLEN", "k") == 1, 5, "others are served again")
        if flags:
            assert conn.ask("SET", "k", "3") == refused and other.ask("GET", "k") == b"1"
        admin.execute_command("ACL", "SETUSER", "terrace", "+multi")
        until(lambda: conn.pipeline(block)[-1] == [b"OK", b"OK"], 5, "all is well again")
        assert other.ask("MGET", "k", "l") == [b"2", b"2"]


def test_a_node_that_waited_for_its_redis_does_not_end_but_says_so(stage):
    redis_server = stage.redis()
    url = set_user(redis_server, "resetchannels")
    acl = next(user for user in redis_server.client().acl_list() if user.startswith("user terrace "))
    redis_server.process.kill()
    node = launch(stage, url)
    until(node.answers_ping, 10, "the node runs without its L2")
    until(lambda: log_line(node, "l2_down"), 10, "it has tried")
    redis_server.flags += ["--user", *acl.split()[1:]]
    assert redis_server.start()
    until(lambda: log_line(node, "l2_rights"), 15, "the refusal is told when Redis comes")
    assert node.process.alive() and node.admin("/readyz")[0] == 503
    fields = node.info()
    assert fields["l2_rights"] == "refused" and "SUBSCRIBE" in fields["l2_rights_missing"]
    assert fields["coherence_state"] == "DETACHED"
    redis_server.client().execute_command("ACL", "SETUSER", "terrace", "&terrace:*", "&__redis__:invalidate")
    until(lambda: node.info()["l2_rights"] == "granted", 15, "what was granted meanwhile is noticed")
    node.wait_synced(10)
    until(lambda: node.admin("/readyz")[0] == 200, 5, "it is ready")


def test_a_redis_that_comes_later_is_asked_too(stage):
    """A restarted Redis is another process: its rights may be others."""
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    redis_server.process.kill()
    redis_server.flags += ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"]
    assert redis_server.start()
    until(lambda: node.info().get("l2_may_evict_nodes_keys") == "1", 15, "the policy of the new one is seen")


# --- what the log tells of an L2 that cannot be had --------------------------------------------------------------------

def failures(node):
    return int(re.search(r"failures=(\d+)", node.info()["l2_endpoint_0"]).group(1))


def test_an_l2_that_refuses_is_told_once_with_its_address(stage):
    """However often it is tried: one line for each link."""
    redis_server = stage.redis("--requirepass", "right-one")
    node = launch(stage, f"redis://:wrong-one@127.0.0.1:{redis_server.port}")
    until(node.answers_ping, 10, "the node runs without its L2")
    until(lambda: failures(node) >= 3, 15, "it tries again and again")
    for event in ("l2_down", "bus_down"):
        lines = log_lines(node, event)
        assert len(lines) == 1 and f"127.0.0.1:{redis_server.port}: WRONGPASS" in lines[0], lines
    assert "wrong-one" not in node.process.log(64000)
    redis_server.process.kill()
    until(lambda: len(log_lines(node, "l2_down")) == 2, 10, "another reason is another line")
    assert f"127.0.0.1:{redis_server.port}: Connection refused" in log_lines(node, "l2_down")[1]


def test_a_node_is_no_l2_and_the_log_says_why(stage, redis_server):
    front = stage.node(l2=redis_server)
    node = launch(stage, f"redis://127.0.0.1:{front.port}")
    assert node.process.wait(5) == EX_CONFIG, node.process.log()
    assert "this node ends" in log_line(node, "l2_rights")
    assert "channels of Terrace nodes" in log_line(node, "l2_rights")


# --- eviction ---------------------------------------------------------------------------------------------------------

def test_a_policy_that_may_evict_our_keys_is_told_loudly(stage):
    cases = {("100mb", "allkeys-lru"): True, ("100mb", "allkeys-random"): True, ("0", "allkeys-lru"): False,
             ("100mb", "volatile-ttl"): False, ("100mb", "noeviction"): False}
    redis_server = stage.redis()
    for (limit, policy), warns in cases.items():
        redis_server.client().config_set("maxmemory", limit)
        redis_server.client().config_set("maxmemory-policy", policy)
        node = stage.node(l2=redis_server)
        until(lambda node=node: node.info()["l2_rights"] == "granted", 5, "L2 was looked at")
        fields = node.info()
        assert fields["l2_maxmemory_policy"] == policy
        assert (fields["l2_may_evict_nodes_keys"] == "1") == warns
        assert bool(log_line(node, "l2_evicts")) == warns, (limit, policy)
        assert node.process.end() == 0


def test_a_policy_that_changes_while_the_node_runs_is_told_once(stage):
    redis_server = stage.redis("--maxmemory", "100mb")
    node = stage.node(l2=redis_server)
    until(lambda: node.info()["l2_rights"] == "granted", 5, "L2 was looked at")
    assert node.info()["l2_may_evict_nodes_keys"] == "0"
    redis_server.client().config_set("maxmemory-policy", "allkeys-lru")
    until(lambda: node.info()["l2_may_evict_nodes_keys"] == "1", 15 + 5, "the node looks every 15 s")
    asked = redis_server.calls("multi")
    until(lambda: redis_server.calls("multi") > asked, 15 + 5, "it looked again")
    redis_server.client().config_set("maxmemory-policy", "noeviction")
    until(lambda: node.info()["l2_may_evict_nodes_keys"] == "0", 15 + 5, "the end of it is seen, too")
    log = node.process.log(64000)
    assert log.count("event=l2_evicts ") == 1 and log.count("event=l2_spares ") == 1


def test_keys_of_ours_that_vanish_under_load_are_a_new_epoch_and_no_outage(stage):
    """As eviction would: each of our keys, again and again, while clients and strangers read and write."""
    redis_server = stage.redis()
    nodes = [stage.node(l2=redis_server), stage.node(l2=redis_server)]
    path = stage.folder / "evicted.hist"
    load = start_load(stage, path, nodes, redis_server, 6, "--seed", 7, "--rate", 4000, "--keys", 100, "--writes", 20,
                      "--stranger", 200)
    wait_begun(path)
    vanished = 0
    with redis_server.wire() as direct:
        direct.ask("SELECT", 15)
        for keys in [[key] for key in OUR_KEYS] + [OUR_KEYS]:
            epochs = [int(node.info()["coherence_epoch"]) for node in nodes]
            until(lambda: direct.ask("EXISTS", *OUR_KEYS) == len(OUR_KEYS), 5, "all are there again")
            assert direct.ask("DEL", *keys) == len(keys)
            vanished += 1
            if keys != ["terrace:nodes"]:  # a beat writes its record anew: nothing is lost with it
                until(lambda epochs=epochs: all(int(node.info()["coherence_epoch"]) > before
                                                for node, before in zip(nodes, epochs)), 5, "a new epoch began")
            for node in nodes:
                node.wait_synced(5)
    counts = finish_load(load)
    assert vanished == 4 and int(counts.get("errors", 0)) == 0, counts
    verdict = judge(path)
    assert verdict.code == 0, verdict.story()
    for node in nodes:
        assert node.info()["l2_rights"] == "granted"
