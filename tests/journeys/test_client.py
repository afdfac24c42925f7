# SPDX-License-Identifier: BSD-3-Clause
"""libterrace's blocking face against real nodes: what each call does and says."""

import threading

import pytest
from harness import free_port, stand_still, until
from libterrace import Client, Options, Refused, functions, options_list

pytestmark = pytest.mark.own


@pytest.fixture(scope="module")
def node(module_stage):
    return module_stage.node()


@pytest.fixture(scope="module")
def managed(module_stage):
    """A node with an L2 and a managed namespace m:"""
    path = module_stage.folder / "managed.conf"
    path.write_text("[namespace m]\nprefix = m:\nformat = managed\n")
    return module_stage.node(str(path), l2=module_stage.redis())


@pytest.fixture
def client(node):
    with Client(f"endpoints=127.0.0.1:{node.port}", "timeout=10s") as one:
        yield one


@pytest.fixture
def manager(managed):
    with Client(f"endpoints=127.0.0.1:{managed.port}", "timeout=10s") as one:
        yield one


# --- reads and writes ---

def test_what_was_set_is_found_with_its_age_and_life(client):
    assert client.set("k", "v").status == "OK"
    found = client.get("k")
    assert (found.status, found.data, found.ttl_ms, found.reason) == ("OK", b"v", -1, "NONE")
    assert client.set("k", "w", ttl_ms=60_000).status == "OK"
    found = client.get("k")
    assert found.data == b"w" and 0 < found.ttl_ms <= 60_000


def test_what_is_not_there_is_a_miss_because_it_is_absent(client):
    found = client.get("nothing")
    assert (found.status, found.data, found.reason) == ("MISS", None, "ABSENT")


def test_any_bytes_are_a_key_and_a_value_and_empty_is_not_nothing(client):
    every = bytes(range(256))
    assert client.set(every, every * 3).status == "OK"
    assert client.get(every).data == every * 3
    assert client.set("empty", "").status == "OK"
    assert (client.get("empty").status, client.get("empty").data) == ("OK", b"")
    assert client.set("", "of the empty key").status == "OK"
    assert client.get("").data == b"of the empty key"


@pytest.mark.parametrize("size", [1, 4096, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 65536, 1 << 20, 9_000_001])
def test_values_of_all_sizes_come_back_as_they_were(client, size):
    data = bytes((i * 7 + size) % 251 for i in range(1000)) * (size // 1000 + 1)
    data = data[:size]
    assert client.set("sized", data).status == "OK"
    found = client.get("sized")
    assert found.status == "OK" and found.data == data


def test_deleting_says_whether_there_was_something(client):
    client.set("gone", "soon")
    assert client.delete("gone").status == "OK"
    assert client.delete("gone").status == "MISS"
    assert client.get("gone").status == "MISS"


def test_a_write_with_a_condition_is_made_if_it_holds(client):
    client.delete("cond")
    assert client.set("cond", "1", condition=2).status == "UNMET"
    assert client.set("cond", "1", condition=1).status == "OK"
    assert client.set("cond", "2", condition=1).status == "UNMET"
    assert client.set("cond", "3", condition=2).status == "OK"
    assert client.get("cond").data == b"3"


def test_many_keys_are_asked_at_once_and_each_has_its_own_status(client):
    client.set("m1", "one"), client.set("m3", "x" * 100_000)
    status, found = client.mget(["m1", "m2", "m3", "m1"])
    assert status == "OK"
    assert [one.status for one in found] == ["OK", "MISS", "OK", "OK"]
    assert [one.data for one in found] == [b"one", None, b"x" * 100_000, b"one"]
    assert found[1].reason == "ABSENT"
    assert client.mget([]) == ("OK", [])


def test_a_key_of_another_type_is_refused_with_the_words_of_the_node(client):
    client.command("HSET", "h", "f", "v")
    found = client.get("h")
    assert (found.status, found.reason) == ("MISS", "REFUSED")
    assert found.error.startswith("WRONGTYPE")


def test_any_command_is_answered_in_resp3(client):
    assert client.command("SET", "c", "1") == ("OK", b"+OK\r\n", "")
    assert client.command("INCR", "c") == ("OK", b":2\r\n", "")
    assert client.command("GET", "no such key")[1] == b"_\r\n"
    status, reply, error = client.command("HGET", "c", "f")
    assert status == "REFUSED" and error.startswith("WRONGTYPE")
    status, reply, error = client.command("MULTI")
    assert status == "REFUSED" and error


def test_ping_waits_for_a_connection(client):
    assert client.ping() == ("OK", "")


# --- managed keys ---

def test_a_load_is_won_filled_and_found(manager):
    found = manager.fetch("m:load")
    assert found.status == "LOAD" and found.token.size > 0
    done = manager.fill("m:load", found.token, "loaded", ttl_ms=60_000)
    assert done.status == "OK" and done.seq > 0
    assert manager.fetch("m:load").data == b"loaded"


def test_a_load_that_was_overtaken_is_lost(manager):
    token = manager.fetch("m:overtaken").token
    assert manager.set("m:overtaken", "newer").status == "OK"
    assert manager.fill("m:overtaken", token, "older").status == "LOST"
    assert manager.get("m:overtaken").data == b"newer"


def test_a_load_that_failed_may_be_remembered(manager):
    token = manager.fetch("m:failed").token
    assert manager.fail("m:failed", token, negative_ms=5000) == "OK"
    assert manager.get("m:failed").status == "NEGATIVE"


def test_values_are_invalidated_by_their_tags(manager):
    assert manager.set("m:t1", "1", tags=["red", "round"]).status == "OK"
    assert manager.set("m:t2", "2", tags=["red"]).status == "OK"
    status, seq, _, error = manager.invalidate("TAG", "red", "round", match_all=True, sync_ms=5000)
    assert (status, error) == ("OK", "") and seq > 0
    assert manager.get("m:t1").status == "MISS"
    assert manager.get("m:t2").data == b"2"
    assert manager.invalidate("PREFIX", "m:t")[0] == "OK"
    assert manager.get("m:t2").status == "MISS"


def test_a_write_that_wants_its_number_gets_it(manager):
    assert manager.set("m:seq", "1", want_seq=1).seq > 0


# --- options ---

@pytest.mark.parametrize("text, words", [
    ("timeout=soon", ["timeout", "duration", "soon"]),
    ("timeout=0", ["timeout", "1ms"]),
    ("endpoints=", ["endpoints", "host:port"]),
    ("endpoints=localhost", ["endpoints", "host:port", "localhost"]),
    ("endpoints=::1:7379", ["endpoints", "[v6]:port"]),
    ("endpoints=127.0.0.1:1*1001", ["endpoints", "weights", "0 to 1000"]),
    ("endpoints=127.0.0.1:1*", ["endpoints", "weights"]),
    ("regions=eu", ["regions", "name:priority"]),
    ("strategy=best", ["strategy", "round-robin", "sticky", "best"]),
    ("tls=maybe", ["tls", "yes or no", "maybe"]),
    ("db=16", ["db", "0 to 15", "16"]),
    ("near-memory=much", ["near-memory", "64mb", "much"]),
    ("hash-load=x", ["hash-load", "a number"]),
    ("colour=blue", ["colour", "no such option"]),
    ("timeout", ["name=value", "timeout"]),
    ("password=%zz", ["password", "hexadecimal"]),
])
def test_an_option_that_is_refused_is_named_with_what_was_expected(text, words):
    with pytest.raises(Refused) as refused:
        Options(text)
    for word in words:
        assert word in str(refused.value), refused.value


def test_every_preset_is_a_value_that_its_option_takes():
    names = [name for name, _, _ in options_list()]
    assert len(names) == len(set(names)) > 30
    for name, preset, summary in options_list():
        Options(**{name.replace("-", "_"): preset}).free()
        assert summary.endswith(".")


def test_a_url_says_everything(stage):
    node = stage.node("--requirepass", "p@ss")
    with Client(f"terrace://:p%40ss@127.0.0.1:{node.port}/3?timeout=10s&client-name=by-url") as client:
        assert client.set("k", "in 3").status == "OK"
        assert b"name=by-url" in client.command("CLIENT", "LIST")[1]
    with node.wire() as conn:
        conn.ask("AUTH", "p@ss")
        assert conn.ask("EXISTS", "k") == 0
        conn.ask("SELECT", "3")
        assert conn.ask("GET", "k") == b"in 3"


def test_a_near_policy_that_is_none_is_refused_when_the_client_is_opened():
    with pytest.raises(Refused, match="near-policy"):
        Client("near-memory=1mb&near-policy=best")


# --- reaching a node ---

def test_by_the_unix_socket(node):
    with Client(f"endpoints=unix:{node.unixsocket}", "timeout=10s") as client:
        assert client.ping() == ("OK", "")


def test_by_a_name_with_addresses_that_are_found(node):
    with Client(f"endpoints=localhost:{node.port}", "timeout=10s") as client:
        assert client.ping() == ("OK", "")
        assert f"127.0.0.1:{node.port}" in [one.address for one in client.endpoints()]


def test_a_name_that_does_not_exist_is_waited_for_until_the_deadline():
    with Client("endpoints=no-such-host.invalid:1", "timeout=300ms") as client:
        found = client.get("k")
        assert (found.status, found.reason) == ("MISS", "DEADLINE")
        assert "no-such-host.invalid: " in found.error


def test_where_nobody_listens_a_read_is_a_miss_with_a_reason_and_a_write_was_not_done():
    with Client(f"endpoints=127.0.0.1:{free_port()}", "timeout=2s") as client:
        found = client.get("k")
        assert (found.status, found.reason) == ("MISS", "UNREACHABLE")
        assert "refused" in found.error
        assert client.set("k", "v").status == "UNREACHABLE"
        assert client.delete("k").status == "UNREACHABLE"
        status, found = client.mget(["a", "b"])
        assert status == "OK" and {(one.status, one.reason) for one in found} == {("MISS", "UNREACHABLE")}
        status, error = client.ping()
        assert status == "UNREACHABLE" and error


def test_who_wants_errors_gets_them():
    with Client(f"endpoints=127.0.0.1:{free_port()}", "timeout=2s&fail=closed") as client:
        assert client.get("k").status == "UNREACHABLE"
        assert [one.status for one in client.mget(["a"])[1]] == ["UNREACHABLE"]


def test_what_is_no_node_is_told_from_one(stage):
    redis = stage.redis()
    with Client(f"endpoints=127.0.0.1:{redis.port}", "timeout=2s&connect-timeout=300ms") as client:
        assert client.ping()[0] == "UNREACHABLE"


# --- logging in ---

def test_a_password_opens_the_door_and_a_wrong_one_does_not(stage):
    node = stage.node("--requirepass", "secret")
    at = f"endpoints=127.0.0.1:{node.port}"
    with Client(at, "password=secret&timeout=10s") as client:
        assert client.set("k", "v").status == "OK"
    with Client(at, "password=wrong&timeout=10s") as client:
        status, error = client.ping()
        assert status == "DENIED" and "WRONGPASS" in error
        assert client.get("k").status == "DENIED"
    with Client(at, "timeout=10s") as client:
        assert client.get("k").status == "DENIED"


def test_a_user_may_do_what_the_node_says(stage):
    node = stage.node()
    node.client().execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+get", "+cache.fetch", "+client|setinfo")
    with Client(f"endpoints=127.0.0.1:{node.port}", "user=reader&password=pw&timeout=10s") as client:
        found = client.get("k")
        assert found.status == "MISS", found.error
        done = client.set("k", "v")
        assert done.status == "DENIED" and "NOPERM" in done.error


# --- looking inside ---

def test_counters_and_endpoints_tell_what_was_done(node):
    with Client(f"endpoints=127.0.0.1:{node.port}", "timeout=10s") as client:
        client.set("k", "v")
        client.get("k")
        counters = client.counters()
        assert counters["requests"] == 2 and counters["connects"] == 1 and counters["errors"] == 0
        assert counters["bytes_out"] > 48 and counters["bytes_in"] > 48
        (one,) = client.endpoints()
        assert (one.address, one.health, one.connections) == (f"127.0.0.1:{node.port}", "UP", 1)
        assert one.requests == 2 and one.latency_us > 0
        assert [(event.what, event.address) for event in client.history()] == [("up", one.address)]


def test_endpoints_are_asked_by_their_weights(stage):
    nodes = [stage.node() for _ in range(3)]
    listed = ",".join(f"127.0.0.1:{node.port}{suffix}" for node, suffix in zip(nodes, ["@here*3", "@here", "@here*0"]))
    with Client(f"endpoints={listed}", "timeout=10s&strategy=weighted") as client:
        until(lambda: client.ping()[0] == "OK", 10)
        before = {info.address: info.requests for info in client.endpoints()}
        for _ in range(400):
            client.get("k")
        asked = {info.address: info.requests - before[info.address] for info in client.endpoints()}
        heavy, light, none = (asked[f"127.0.0.1:{node.port}"] for node in nodes)
        assert 290 <= heavy <= 315 and 90 <= light <= 115 and none <= 10, asked  # probes count, too


def test_as_many_connections_as_were_asked_for_share_the_calls(node):
    with Client(f"endpoints=127.0.0.1:{node.port}", "timeout=10s&connections=3") as client:
        threads = [threading.Thread(target=lambda: [client.get("k") for _ in range(200)]) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 1 <= client.endpoints()[0].connections <= 3


# --- bounds ---

def test_more_bytes_than_may_be_under_way_are_busy(stage):
    node = stage.node()
    with Client(f"endpoints=127.0.0.1:{node.port}", "timeout=60s&max-queue-bytes=1kb") as client:
        assert client.set("k", "x" * 100_000).status == "OK"  # one alone may be larger
        with node.wire() as conn:
            conn.ask("CLIENT", "PAUSE", "60000", "WRITE")
            ended = []
            stuck = [threading.Thread(target=lambda: ended.append(client.set("a", "x" * 900).status)) for _ in range(2)]
            for thread in stuck:
                thread.start()
            until(lambda: client.counters()["requests"] == 2 and ended == ["BUSY"], 10, "one is under way, the other was refused")
            assert client.set("b", "x" * 900).status == "BUSY"
            found = client.get("k" * 900)
            assert (found.status, found.reason) == ("MISS", "BUSY")
            conn.ask("CLIENT", "UNPAUSE")
        for thread in stuck:
            thread.join()
        assert client.get("a").data == b"x" * 900
        assert client.counters()["requests"] == 3


def test_more_calls_than_may_be_under_way_are_busy(stage):
    node = stage.node()
    with Client(f"endpoints=127.0.0.1:{node.port}", "timeout=60s&max-inflight=1&fail=closed") as client:
        with node.wire() as conn:
            conn.ask("CLIENT", "PAUSE", "60000", "WRITE")
            stuck = threading.Thread(target=client.set, args=("a", "1"))
            stuck.start()
            until(lambda: client.counters()["requests"] == 1, 10, "it is under way")
            assert client.get("k").status == "BUSY"
            conn.ask("CLIENT", "UNPAUSE")
        stuck.join()
        assert client.get("a").data == b"1"


def test_an_answer_over_the_limit_closes_its_connection_and_nothing_else(node):
    with Client(f"endpoints=127.0.0.1:{node.port}", "timeout=3s&max-value=10kb&retries=1") as client:
        assert client.set("small", "v").status == "OK"
        with Client(f"endpoints=127.0.0.1:{node.port}", "timeout=10s") as other:
            other.set("large", "x" * 50_000)
        assert client.get("large").reason == "UNREACHABLE"
        until(lambda: client.get("small").status == "OK", 10, "a new connection serves")


# --- closing ---

def test_closing_ends_the_calls_of_all_threads(stage):
    node = stage.node()
    client = Client(f"endpoints=127.0.0.1:{node.port}", "timeout=60s&fail=closed")
    assert client.ping()[0] == "OK"
    stand_still(node.process)
    results = []
    threads = [threading.Thread(target=lambda: results.append(client.get("k").status)) for _ in range(6)]
    for thread in threads:
        thread.start()
    until(lambda: client.counters()["requests"] >= 7, 10, "all are under way")
    client.close()
    for thread in threads:
        thread.join(10)
    stand_still(node.process, False)
    assert results == ["CLOSED"] * 6


def test_the_library_says_its_version():
    assert functions.terrace_version().count(b".") == 2
