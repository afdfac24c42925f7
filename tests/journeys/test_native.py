# SPDX-License-Identifier: BSD-3-Clause
"""The native protocol (docs/protocol.md) at a node: every request, alone and with an L2, and what is refused."""

import pytest

import native
from harness import free_port, until

pytestmark = pytest.mark.own


@pytest.fixture
def conn(node):
    node.client().flushall()
    with node.native() as conn:
        assert conn.hello(client_name="journey", lib_name="native.py", lib_version="1").status == "OK"
        yield conn


def test_hello_says_who_the_node_is(node):
    with node.native() as conn:
        welcome = conn.hello(client_name="me", db=3)
        assert welcome.status == "OK" and welcome.meta["max_version"] == 1
        assert welcome.meta["server_version"] == node.info()["terrace_version"]
        assert len(welcome.meta["node"]) == 16
        assert str(node.port) in welcome.meta["address"]
        mine = [line for line in node.client().client_list() if int(line["id"]) == welcome.meta["connection"]]
        assert mine[0]["name"] == "me" and mine[0]["db"] == "3" and mine[0]["resp"] == "3"


def test_no_hello_is_needed_where_nobody_has_to_log_in(node):
    with node.native() as conn:
        assert conn.set("k", "v").status == "OK"
        assert conn.get("k").body == b"v"


def test_set_get_delete(conn):
    assert conn.get("k").status == "NIL"
    assert conn.set("k", "hello").status == "OK"
    answer = conn.get("k")
    assert (answer.status, answer.body, answer.meta["state"], answer.meta["ttl_ms"]) == ("OK", b"hello", native.HIT, -1)
    assert conn.set("e", b"").status == "OK"
    assert conn.get("e").status == "OK" and conn.get("e").body == b""
    assert conn.delete("k", "e", "no").meta["count"] == 2
    assert conn.get("k").status == "NIL" and conn.get("k").meta["ttl_ms"] == -2


def test_set_with_a_life_and_a_condition(conn):
    assert conn.set("k", "1", px_ms=60_000).status == "OK"
    assert 50_000 < conn.get("k").meta["ttl_ms"] <= 60_000
    assert conn.set("k", "2", condition=1).status == "NIL"
    assert conn.set("k", "2", condition=2).status == "OK"
    assert conn.set("n", "2", condition=2).status == "NIL"
    assert conn.set("n", "2", condition=1).status == "OK"
    assert conn.set("k", "2", condition=1, want_seq=True).status == "BAD"
    assert conn.set("k", "2", condition=7).status == "BAD"
    assert conn.get("k").body == b"2"


def test_calls_answer_as_resp3(conn):
    assert conn.call("PING").body == b"+PONG\r\n"
    assert conn.call("INCR", "n").body == b":1\r\n"
    assert conn.call("HSET", "h", "f", "v").body == b":1\r\n"
    assert conn.call("HGETALL", "h").body == b"%1\r\n$1\r\nf\r\n$1\r\nv\r\n"
    error = conn.call("INCR", "h")
    assert error.status == "WRONGTYPE" and error.body.startswith(b"WRONGTYPE ")
    assert conn.get("h").status == "WRONGTYPE"
    assert conn.call("NOSUCH").status == "ERROR"


def test_a_read_by_call_is_answered_as_resp3_too(conn):
    conn.set("k", "v")
    assert conn.call("CACHE.FETCH", "k").body.startswith(b"*5\r\n$3\r\nHIT\r\n$1\r\nv\r\n")
    missing = conn.call("CACHE.FETCH", "nothing")
    assert missing.status == "OK" and missing.body.startswith(b"*5\r\n$4\r\nMISS\r\n_\r\n")


def test_beat_answers(conn):
    assert conn.beat().meta["has_horizon"]


def test_several_keys_are_answered_one_by_one(conn):
    keys = [f"k{i}" for i in range(600)]
    for key in keys[::2]:
        conn.set(key, f"value of {key}")
    request = conn.send("MGET", keys)
    answers = conn.answers(request)
    assert [answer.more for answer in answers] == [True] * 599 + [False]
    assert sorted(answer.meta["index"] for answer in answers) == list(range(600))
    for answer in answers:
        key = keys[answer.meta["index"]]
        expected = ("OK", f"value of {key}".encode()) if key in keys[::2] else ("NIL", b"")
        assert (answer.status, answer.body) == expected
    assert [answer.status for answer in conn.mget("k0")] == ["OK"]
    assert [answer.status for answer in conn.mget("k0", "k0", "", "k1")] == ["OK", "OK", "NIL", "NIL"]


def test_a_hello_leaves_what_comes_with_it_as_it_is(node):
    """In one write; numbers of the requests behind it are not its own."""
    with node.native() as conn:
        conn.send_raw(native.request_frame("HELLO", 1, db=3) + native.request_frame("SET", 2, "k", "v", px_ms=80_000) +
                      native.request_frame("SET", 3, "n", "v", px_ms=900_000))
        assert [conn.answer(number).status for number in (1, 2, 3)] == ["OK"] * 3
        assert 70_000 < conn.get("k").meta["ttl_ms"] <= 80_000 and 800_000 < conn.get("n").meta["ttl_ms"] <= 900_000
        assert conn.hello(db=0).status == "OK" and conn.get("k").status == "NIL"


def test_keys_and_values_of_any_bytes_and_sizes(conn):
    key, value = bytes(range(256)), bytes(range(256)) * 1000
    assert conn.set(key, value).status == "OK"
    assert conn.get(key).body == value
    assert conn.set("", "of an empty key").status == "OK"
    assert conn.get("").body == b"of an empty key"
    for size in (1, 4095, 4096, 4097, 16384, 70_000, 3_000_000):
        assert conn.set("k", b"x" * size).status == "OK"
        assert conn.get("k").body == b"x" * size


def test_keys_too_long_for_l1_pass_by(node, conn):
    long = "k" * 70_000
    assert conn.get(long).status == "NIL" and conn.mget("no", long)[1].status == "NIL"
    stored = conn.set(long, "v")
    if not node.l2_url:
        assert stored.status == "ERROR", "L1 is the only copy, and has no such keys"
        return
    assert stored.status == "OK"
    for answer in (conn.get(long), conn.fetch(long, contract=2), conn.mget("no", long)[1]):
        assert (answer.status, answer.body, answer.meta["near_ms"]) == ("OK", b"v", 0)


def test_stats_and_topology(node, conn):
    text = conn.stats("server").body.decode()
    assert text.startswith("# Server") and f"tcp_port:{node.port}" in text
    assert "# Memory" in conn.stats().body.decode()
    [itself] = conn.topology().meta["nodes"]
    assert itself["is_self"] and itself["is_live"] and itself["node"] == conn.hello().meta["node"]
    assert itself["state"] == ("SYNCED" if node.l2_url else "ALONE")


def test_databases_do_not_meet(node, conn):
    with node.native() as other:
        assert other.hello(db=5).status == "OK"
        other.set("k", "of 5")
        assert conn.get("k").status == "NIL" and other.get("k").body == b"of 5"
        refused = other.hello(db=16)
        assert refused.status == "ERROR" and b"out of range" in refused.body
        assert other.get("k").body == b"of 5"


@pytest.mark.parametrize("words", ["MULTI", "EXEC", "WATCH k", "SUBSCRIBE c", "PSUBSCRIBE c*", "SSUBSCRIBE c", "UNSUBSCRIBE", "MONITOR", "HELLO 2",
                                   "AUTH a b", "RESET", "QUIT", "SELECT 1", "CLIENT REPLY OFF", "CLIENT TRACKING ON", "CLIENT CACHING YES",
                                   "BLPOP k 0", "WAIT 1 0", "XREAD BLOCK 0 STREAMS k $", "discard", "unwatch"])
def test_a_call_may_not_change_the_connection_or_hold_it_up(node, conn, words):
    refused = conn.call(*words.split())
    alone_unknown = words.split()[0] in ("BLPOP", "WAIT", "XREAD") and not node.l2_url
    assert refused.status == ("ERROR" if alone_unknown else "BAD"), refused
    assert conn.call("ECHO", "x").body == b"$1\r\nx\r\n"


def test_what_is_no_request_is_refused_and_the_connection_lives_on(conn):
    for op in (0, 16, 63, "EVENT", "GOODBYE", 255):
        assert conn.ask(op).status == "BAD"
    conn.last_id += 1
    conn.send_raw(native.frame("GET", conn.last_id, b"\xff\xff\xff", b"k"))
    assert conn.answer(conn.last_id).status == "BAD"
    conn.last_id += 1
    conn.send_raw(native.frame("DELETE", conn.last_id, native.encode("Request", {"key_sizes": [1, 5]}), b"abc"))
    assert conn.answer(conn.last_id).status == "BAD"
    assert conn.ask("GET", "k", contract=9).status == "BAD"
    assert conn.ask("MGET", ["a", "b", "c"], contract=9).status == "BAD"
    assert [answer.status for answer in conn.mget("a", "b")] == ["NIL", "NIL"]
    assert conn.ask("GET", "ab", key_sizes=[1, 1]).status == "BAD"
    assert conn.ask("INVALIDATE", "k", target=9).status == "BAD"
    assert conn.ask("WATCH", "k", watch=2).status == "BAD"
    assert conn.ask("CALL").status == "BAD"
    assert conn.invalidate("KEY", "a", "soft").status == "BAD"
    assert conn.invalidate("KEY", "soft").status == "OK"
    assert conn.call("PING").status == "OK"


@pytest.mark.parametrize("data,says", [
    (native.frame("GET", 7, keys=b"k", version=2), b"version 1"),
    (native.frame("GET", 7, keys=b"k", version=0), b"version 1"),
    (native.HEADER.pack(native.MAGIC, 1, native.OPS["SET"], 0, 7, 0, 0, (512 << 20) + 1, 0), b"larger"),
    (native.HEADER.pack(native.MAGIC, 1, native.OPS["SET"], 0, 7, (1 << 32) - 1, (1 << 32) - 1, (1 << 32) - 1, 0), b"larger"),
])
def test_a_frame_that_cannot_be_read_ends_the_connection_behind_what_came_before(node, data, says):
    with node.native() as conn:
        first = conn.send("SET", "k", "v")
        conn.last_id = 7
        conn.send_raw(data)
        assert conn.answer(first).status == "OK"
        refused = conn.answer(7)
        assert refused.status == "BAD" and says in refused.body and refused.version == 1
        assert conn.closes_within(15) and conn.goodbye


def test_bytes_that_are_no_frame_end_the_connection(node):
    with node.native() as conn:
        first = conn.send("SET", "k", "v")
        conn.send_raw(b"*1\r\n$4\r\nPING\r\n")
        assert conn.answer(first).status == "OK"
        assert conn.closes_within(15) and conn.goodbye.body


def test_a_frame_in_the_middle_of_resp_is_none(node):
    with node.socket() as sock:
        sock.sendall(b"PING\r\n")
        assert sock.recv(100) == b"+PONG\r\n"
        sock.sendall(native.frame("GET", 1, keys=b"k") + b"\r\n")
        assert sock.recv(100).startswith(b"-ERR")


def test_frames_cut_at_every_byte(conn):
    """Two pieces for each place to cut at, and one byte at a time."""
    meta = {"px_ms": 60_000}
    for cut in range(1, 200):
        set_id, get_id = conn.last_id + 1, conn.last_id + 2
        conn.last_id += 2
        data = native.request_frame("SET", set_id, "key", b"v" * 90, **meta) + native.request_frame("GET", get_id, "key", contract=1, max_stale_ms=5)
        if cut >= len(data):
            break
        conn.send_raw(data[:cut])
        conn.send_raw(data[cut:])
        assert conn.answer(set_id).status == "OK" and conn.answer(get_id).status in ("OK", "NIL")  # there is no order
    for i in range(len(data)):
        conn.send_raw(data[i:i + 1])
    assert conn.answer(set_id).status == "OK" and conn.answer(get_id).status in ("OK", "NIL")
    assert conn.get("key").body == b"v" * 90


# --- users, limits, quotas ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(module_stage):
    path = module_stage.folder / "native.conf"
    path.write_text("[namespace quota]\nprefix = q:\nmax-ops = 5\n")
    return module_stage.node(str(path), "--requirepass", "secret")


def test_before_login_little_may_be_said(guarded):
    with guarded.native() as conn:
        for answer in (conn.get("k"), conn.call("PING"), conn.beat(), conn.hello(), conn.watch(), conn.stats()):
            assert answer.status == "NOAUTH", answer
        assert conn.call("MGET", *"abcdefghijklm").status == "BAD"
        wrong = conn.hello(password="wrong")
        assert wrong.status == "NOAUTH" and wrong.body.startswith(b"WRONGPASS")
        large = conn.set("k", b"x" * 20_000)
        assert large.status == "BAD" and conn.closes_within(15)


def test_login_counts_for_what_is_sent_with_it(guarded):
    with guarded.native() as conn:
        hello = conn.send("HELLO", has_auth=True, password="secret")
        large = conn.send("SET", "k", b"x" * 20_000)
        assert conn.answer(hello).status == "OK" and conn.answer(large).status == "OK"


def test_login_counts_for_how_many_keys_are_sent_with_it(guarded):
    with guarded.native() as conn:
        keys = [f"key{i}" for i in range(20)]
        conn.send_raw(native.request_frame("HELLO", 1, has_auth=True, password="secret") +
                      native.request_frame("DELETE", 2, keys) + native.request_frame("MGET", 3, keys))
        assert conn.answer(1).status == "OK" and conn.answer(2).status == "OK"
        assert {answer.status for answer in conn.answers(3)} == {"NIL"}
    with guarded.native() as conn:
        conn.send_raw(native.request_frame("HELLO", 1, has_auth=True, password="wrong") + native.request_frame("DELETE", 2, keys))
        assert conn.answer(1).status == "NOAUTH" and conn.answer(2).status == "BAD"


def test_users_may_what_their_rules_say(guarded):
    with guarded.native() as admin, guarded.native() as conn:
        admin.hello(password="secret")
        assert admin.call("ACL", "SETUSER", "app", "on", ">pass", "~app:*", "+@all", "-cache.invalidate").body == b"+OK\r\n"
        assert conn.hello(user="app", password="pass").status == "OK"
        assert conn.set("app:k", "v").status == "OK" and conn.get("app:k").body == b"v"
        for refused in (conn.get("other"), conn.set("other", "v"), conn.invalidate("KEY", "app:k"), conn.delete("app:k", "other")):
            assert refused.status == "NOPERM" and refused.body.startswith(b"NOPERM"), refused
        assert [answer.status for answer in conn.mget("app:k", "other")] == ["OK", "NOPERM"]
        assert admin.call("ACL", "DELUSER", "app").status == "OK"
        assert conn.closes_within(15)


def test_names_are_decoration(guarded):
    """A user who may not set them logs in all the same."""
    with guarded.native() as admin, guarded.native() as conn:
        admin.hello(password="secret")
        assert admin.call("ACL", "SETUSER", "plain", "on", ">pass", "~*", "+cache.fetch", "+client|id", "+hello").status == "OK"
        assert conn.hello(user="plain", password="pass", lib_name="lib", lib_version="1", client_name="my name").status == "OK"
        assert conn.get("nothing").status == "NIL" and conn.hello(db=1).status == "NOPERM"


def test_quotas_are_those_of_resp(guarded):
    with guarded.native() as conn:
        conn.hello(password="secret")
        statuses = {conn.get(f"q:{i}").status for i in range(50)}
        assert statuses == {"NIL", "BUSY"}


def test_a_command_that_was_renamed_away_is_gone_here_too(stage):
    node = stage.node("--rename-command", "DEL '', SET store")
    with node.native() as conn:
        assert conn.delete("k").status == "ERROR" and conn.set("k", "v").status == "ERROR"
        assert conn.call("store", "k", "v").body == b"+OK\r\n"
        assert conn.get("k").body == b"v"


# --- the node's own view of a connection ----------------------------------------------------------------------------------


def test_clients_are_listed_counted_and_killed(node):
    until(lambda: int(node.info()["native_clients"]) == 0, 15, "who came for other tests is gone")
    with node.native() as conn, node.wire() as other:
        number = conn.hello(client_name="native").meta["connection"]
        assert int(node.info()["native_clients"]) == 1
        assert b"name=native" in conn.call("CLIENT", "LIST").body
        assert conn.call("CLIENT", "ID").body == b":%d\r\n" % number
        assert other.ask("CLIENT", "KILL", "ID", str(number)) == 1
        assert conn.closes_within(15)
    until(lambda: int(node.info()["native_clients"]) == 0, 15, "it is not counted any more")


def test_one_may_kill_itself(node):
    with node.native() as conn:
        number = conn.hello().meta["connection"]
        killed = conn.send("CALL", ["CLIENT", "KILL", "ID", str(number), "SKIPME", "no"])
        assert conn.closes_within(15)
        assert conn.answer(killed).body == b":1\r\n"


def test_the_slow_log_names_the_trace(node, conn):
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with node.wire() as other:
        other.ask("CONFIG", "SET", "slowlog-log-slower-than", "0")
        other.ask("SLOWLOG", "RESET")
        conn.get("traced", traceparent=trace)
        entries = other.ask("SLOWLOG", "GET", "10")
        other.ask("CONFIG", "SET", "slowlog-log-slower-than", "10000")
    [words] = [entry[3] for entry in entries if b"traced" in entry[3]]
    assert words == [b"CACHE.FETCH", b"traced", b"NOLOAD", b"traceparent=" + trace.encode()]


def test_who_monitors_sees_the_commands(node, conn):
    with node.wire() as other:
        other.ask("MONITOR")
        conn.set("seen", "v")
        assert b'"SET" "seen" "v"' in other.read()


def test_requests_and_connections_are_counted(node, conn):
    def counted(name):
        [line] = [line for line in node.admin("/metrics")[1].splitlines() if line.startswith(name + " ")]
        return float(line.split()[1])
    requests, connections = counted("terrace_native_requests_total"), counted("terrace_native_connections_total")
    conn.get("k")
    with node.native() as other:
        other.beat(near_hits=5)
    assert counted("terrace_native_requests_total") >= requests + 2
    assert counted("terrace_native_connections_total") == connections + 1
    assert counted("terrace_near_hits_total") >= 5


def test_by_tls_and_by_a_unix_socket(stage):
    context = stage.tls()
    node, port = stage.node_not_started(), free_port()
    node.flags += ["--listen", f"127.0.0.1:{node.port} tls://127.0.0.1:{port}", "--tls-cert-file", str(stage.folder / "tls.crt"),
                   "--tls-key-file", str(stage.folder / "tls.key"), "--tls-auth-clients", "no"]
    assert node.start(), node.process.log()
    for conn in (native.Native(("127.0.0.1", port), tls=context), native.Native(node.unixsocket)):
        with conn:
            assert conn.hello().status == "OK"
            assert conn.set("k", b"v" * 300_000).status == "OK" and conn.get("k").body == b"v" * 300_000


# --- managed keys -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def managed(module_stage, redis_server):
    path = module_stage.folder / "managed.conf"
    path.write_text("[namespace pages]\nprefix = m:\nformat = managed\nttl = 60s\njitter = 0%\nhard-timeout = 15s\nload-timeout = 30s\n"
                    "[namespace strict]\nprefix = s:\nmode = strict 1s\n[namespace free]\nprefix = f:\nmode = ttl\nttl = 20s\n"
                    "[namespace available]\nprefix = a:\nmode = available 10s\n")
    return module_stage.node(str(path), l2=redis_server)


@pytest.fixture
def loader(managed, request):
    """With a managed key of the test's own."""
    managed.wait_synced()
    with managed.native() as conn:
        conn.key = f"m:{request.node.name}"
        yield conn


def test_a_load_is_won_filled_and_served(loader):
    won = loader.fetch(loader.key)
    assert won.status == "LOAD" and len(won.meta["token"]) == 16 and won.meta["state"] == native.NONE
    filled = loader.fill(loader.key, won.meta["token"], "loaded", px_ms=5000, tags=["t", "u"])
    assert filled.status == "OK" and filled.meta["seq"] > 0
    answer = loader.fetch(loader.key)
    assert (answer.status, answer.body, answer.meta["state"]) == ("OK", b"loaded", native.HIT)
    assert 0 < answer.meta["ttl_ms"] <= 5000
    assert loader.fill(loader.key, won.meta["token"], "again").status == "LOST"
    assert loader.call("CACHE.TAGS", loader.key).body == b"*2\r\n$1\r\nt\r\n$1\r\nu\r\n"


def test_a_load_that_fails_or_finds_nothing(loader):
    won = loader.fetch("m:none")
    assert loader.fail("m:none", won.meta["token"], negative_ms=5000).status == "OK"
    nothing = loader.fetch("m:none")
    assert nothing.status == "NIL" and nothing.meta["state"] == native.NEGATIVE and nothing.meta["near_ms"] == 0
    won = loader.fetch("m:fails")
    assert loader.fail("m:fails", won.meta["token"]).status == "OK"
    assert loader.fail("m:fails", won.meta["token"]).status == "LOST"
    assert loader.get("m:fails").status == "NIL"
    assert loader.fail("m:fails", "no token").status == "ERROR"


def test_another_who_fetches_on_the_same_connection_waits_for_the_first(loader):
    first = loader.fetch(loader.key)
    second = loader.send("FETCH", loader.key)
    assert loader.get("other").status == "NIL" and not loader.answered(second)
    loader.fill(loader.key, first.meta["token"], "v")
    assert loader.answer(second).body == b"v"


def test_a_loader_that_leaves_hands_the_load_on(managed, loader):
    with managed.native() as leaver:
        assert leaver.fetch(loader.key).status == "LOAD"
        waiting = loader.send("FETCH", loader.key)
        assert loader.get("other").status == "NIL" and not loader.answered(waiting)
    assert loader.answer(waiting).status == "LOAD"


def test_a_loader_that_leaves_with_others_of_its_own_waiting_hands_the_load_on(managed, loader):
    """What they win they could not fill in."""
    with managed.native() as leaver:
        assert leaver.fetch(loader.key).status == "LOAD"
        for _ in range(7):
            leaver.send("FETCH", loader.key)
        waiting = loader.send("FETCH", loader.key)
        assert loader.get("other").status == "NIL" and not loader.answered(waiting)
    loader.sock.settimeout(5)
    assert loader.answer(waiting).status == "LOAD"


def test_a_load_won_too_late_is_handed_on(managed, loader):
    """Its client was told DEADLINE, and will not fill in."""
    with managed.native() as first, managed.native() as third:
        assert first.fetch(loader.key).status == "LOAD"
        assert loader.ask("FETCH", loader.key, wait_ms=50).status == "DEADLINE"
        last = third.send("FETCH", loader.key)
        assert third.get("other").status == "NIL" and not third.answered(last)
        first.close()
        assert third.answer(last).status == "LOAD"


def test_stale_values_are_marked_and_come_with_a_load(loader):
    assert loader.set(loader.key, "v", px_ms=100, has_swr=True, swr_ms=60_000, has_sie=True, sie_ms=60_000).status == "OK"
    until(lambda: loader.get(loader.key).meta["state"] == native.STALE, 15, "its fresh life is over")
    stale = loader.get(loader.key)
    assert (stale.status, stale.body, stale.meta["near_ms"]) == ("OK", b"v", 0)
    won = loader.fetch(loader.key)
    assert (won.status, won.body, won.meta["state"]) == ("LOAD", b"v", native.STALE)
    assert loader.fetch(loader.key).status == "OK"
    assert loader.fill(loader.key, won.meta["token"], "new").status == "OK"
    assert loader.fetch(loader.key).body == b"new"


def test_a_write_tells_its_seq_if_asked(loader):
    assert loader.set(loader.key, "1").meta["seq"] == 0
    first, second = loader.set(loader.key, "1", want_seq=True).meta["seq"], loader.set("p", "2", want_seq=True).meta["seq"]
    assert 0 < first < second
    until(lambda: loader.get(loader.key, atleast_seq=second).status == "OK", 15, "it is applied")


def test_invalidations_by_key_tag_prefix_and_all(loader):
    for i in range(4):
        loader.set(f"m:{i}", "v", tags=["every", f"t{i}"])
    assert loader.invalidate("TAG", "every", "t1", match_all=True).meta["seq"] > 0
    assert [answer.status for answer in loader.mget("m:0", "m:1")] == ["OK", "NIL"]
    dry = loader.invalidate("KEY", "m:0", dry_run=True)
    assert dry.meta["seq"] == 0 and loader.get("m:0").status == "OK"
    assert loader.invalidate("KEY", "m:0", sync_ms=5000).status == "OK" and loader.get("m:0").status == "NIL"
    assert loader.invalidate("PREFIX", "m:2", ns="pages").status == "OK" and loader.get("m:2").status == "NIL"
    assert loader.invalidate("ALL", ns="pages").status == "OK" and loader.get("m:3").status == "NIL"


def test_how_long_a_copy_may_be_kept_follows_the_mode(managed, loader):
    for key in (loader.key, "s:k", "f:k", "a:k", "k"):
        loader.set(key, "v")

    def near(key):
        answer = until(lambda: (lambda got: got if got.meta["state"] == native.HIT else None)(loader.get(key)), 15, "a hit")
        return answer.meta["near_ms"]
    assert near("k") == 1000 and near(loader.key) == 1000 and near("s:k") == 0 and near("a:k") == 1000
    assert 0 < near("f:k") <= 20_000
    assert loader.get("none").meta["near_ms"] == 0
