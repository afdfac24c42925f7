# SPDX-License-Identifier: BSD-3-Clause
"""What a client may do with its own connection: names, protocols, lists, kills, pauses; and what it may ask the node."""

import pathlib
import re
import time

import pytest
import redis

import wire
from harness import SLACK_S, until


def test_ping_echo_and_quit(node):
    with node.wire() as conn:
        assert conn.ask("PING") == b"PONG" and conn.ask("PING", "hi") == b"hi" and conn.ask("ECHO", "") == b""
        assert conn.ask("QUIT") == b"OK"
        assert conn.closes_within(15)


def test_what_follows_quit_is_not_executed(node):
    with node.wire() as conn:
        conn.ask("DEL", "after quit")
        conn.send(wire.encode(["QUIT"]) + wire.encode(["SET", "after quit", "1"]))
        assert conn.read() == b"OK" and conn.closes_within(15) and conn.leftover() == b""
    with node.wire() as conn:
        assert conn.ask("EXISTS", "after quit") == 0


def test_hello_changes_the_protocol(node):
    with node.wire() as conn:
        hello = conn.ask("HELLO")
        assert isinstance(hello, list) and hello[0] == b"server"
        assert conn.ask_raw("GET", "absent") == b"$-1\r\n"
        hello = conn.ask("HELLO", "3", "SETNAME", "me")
        assert isinstance(hello, wire.Map)
        fields = {bytes(k): v for k, v in hello}
        assert fields[b"server"] == b"redis" and fields[b"proto"] == 3
        assert fields[b"mode"] == b"standalone" and fields[b"role"] == b"master" and fields[b"modules"] == []
        assert conn.ask_raw("GET", "absent") == b"_\r\n"
        assert conn.ask("CLIENT", "GETNAME") == b"me"
        assert isinstance(conn.ask("CONFIG", "GET", "maxclients"), wire.Map)
        assert isinstance(conn.ask("INFO"), wire.Verbatim)
        assert conn.ask("HELLO", "4").startswith(b"NOPROTO")
        assert isinstance(conn.ask("HELLO", "2"), list) and conn.ask_raw("GET", "absent") == b"$-1\r\n"


def test_reset_makes_a_connection_new(node):
    with node.wire(proto=3) as conn:
        conn.ask("SELECT", "5")
        conn.ask("CLIENT", "SETNAME", "old")
        assert conn.ask("RESET") == b"RESET"
        assert conn.ask_raw("CLIENT", "GETNAME") == b"$-1\r\n"
        assert b" db=0 " in conn.ask("CLIENT", "INFO")


def test_clients_have_ids_and_names(node):
    with node.wire() as one, node.wire() as two:
        first, second = one.ask("CLIENT", "ID"), two.ask("CLIENT", "ID")
        assert 0 < first < second
        assert one.ask("CLIENT", "SETNAME", "one") == b"OK"
        assert one.ask("CLIENT", "SETNAME", "with space").startswith(b"ERR Client names cannot contain")
        info = one.ask("CLIENT", "INFO").decode()
        fields = dict(word.split("=", 1) for word in info.split())
        assert fields["id"] == str(first) and fields["name"] == "one" and fields["cmd"] == "client|info"
        lines = two.ask("CLIENT", "LIST").decode().splitlines()
        ids = {dict(word.split("=", 1) for word in line.split())["id"] for line in lines}
        assert {str(first), str(second)} <= ids
        line = two.ask("CLIENT", "LIST", "ID", str(first)).decode()
        assert line.startswith(f"id={first} ") and "name=one" in line
        assert one.ask("CLIENT", "NO-EVICT", "ON") == b"OK"


@pytest.mark.own
def test_setinfo_is_accepted(node):
    """Newer client libraries say their name; 7.0 does not know it, 7.2 does, and refusing costs a warning each time."""
    with node.wire() as conn:
        assert conn.ask("CLIENT", "SETINFO", "LIB-NAME", "redis-py") == b"OK"
        assert conn.ask("CLIENT", "SETINFO", "LIB-VER", "5.0") == b"OK"


def test_a_client_is_killed_by_another(node):
    with node.wire() as killer:
        victim = node.wire()
        identity = victim.ask("CLIENT", "ID")
        assert killer.ask("CLIENT", "KILL", "ID", str(identity)) == 1
        assert victim.closes_within(15)
        assert killer.ask("CLIENT", "KILL", "ID", str(identity)) == 0
        victim = node.wire()
        victim.ask("PING")
        host, port = victim.sock.getsockname()
        assert killer.ask("CLIENT", "KILL", f"{host}:{port}") == b"OK"
        assert victim.closes_within(15)
        assert killer.ask("CLIENT", "KILL", f"{host}:{port}") == b"ERR No such client"
        assert killer.ask("PING") == b"PONG"


def test_a_client_may_kill_itself(node):
    with node.wire() as conn:
        assert conn.ask("CLIENT", "KILL", "ID", str(conn.ask("CLIENT", "ID")), "SKIPME", "no") == 1
        assert conn.closes_within(15)


def test_pause_holds_writes_until_it_ends(node):
    with node.wire() as chief, node.wire() as other:
        other.ask("SET", "k", "before")
        assert chief.ask("CLIENT", "PAUSE", "60000", "WRITE") == b"OK"
        try:
            assert other.ask("GET", "k") == b"before"
            other.send(wire.encode(["SET", "k", "after"]))
            other.sock.settimeout(0.15)
            with pytest.raises(TimeoutError):
                other.read()
            other.sock.settimeout(20)
        finally:
            assert chief.ask("CLIENT", "UNPAUSE") == b"OK"
        assert other.read() == b"OK" and other.ask("GET", "k") == b"after"


def test_pause_ends_by_itself(node):
    with node.wire() as chief, node.wire() as other:
        began = time.monotonic()
        assert chief.ask("CLIENT", "PAUSE", "200") == b"OK"
        assert other.ask("PING") == b"PONG"
        assert 0.19 <= time.monotonic() - began < 0.2 + SLACK_S


def test_replies_can_be_switched_off(node):
    with node.wire() as conn:
        conn.send(b"".join(wire.encode(words) for words in (
            ["CLIENT", "REPLY", "OFF"], ["SET", "quiet", "1"], ["GET", "quiet"], ["NOSUCH"], ["CLIENT", "REPLY", "ON"],
            ["CLIENT", "REPLY", "SKIP"], ["INCR", "quiet"], ["GET", "quiet"])))
        assert conn.read() == b"OK" and conn.read() == b"2"
        conn.send(b"".join(wire.encode(words) for words in (
            ["CLIENT", "REPLY", "SKIP"], ["RESET"], ["ECHO", "skipped"], ["CLIENT", "REPLY", "OFF"], ["RESET"], ["ECHO", "heard"])))
        assert [conn.read() for _ in range(3)] == [b"skipped", b"RESET", b"heard"]


def test_config_is_read_and_changed(node):
    client = node.client(decode_responses=True)
    assert client.config_get("maxclients") == {"maxclients": "10000"}
    assert set(client.config_get("maxcl*")) == {"maxclients"}
    assert client.config_get("nosuch") == {}
    assert client.config_set("timeout", 100) is True
    assert client.config_get("timeout") == {"timeout": "100"}
    client.config_set("timeout", 0)
    with pytest.raises(redis.ResponseError, match="Unknown option or number of arguments for CONFIG SET - 'nosuch'"):
        client.config_set("nosuch", 1)
    with pytest.raises(redis.ResponseError, match="CONFIG SET failed"):
        client.config_set("maxclients", "many")
    assert client.config_get("maxclients") == {"maxclients": "10000"}
    assert client.config_resetstat() is True


@pytest.fixture
def limited(node):
    """A connection that may set limits of clients; afterwards they are Redis' again."""
    with node.wire() as conn:
        conn.ask("CLIENT", "SETNAME", "admin")
        conn.ask("CLIENT", "NO-EVICT", "on")
        yield conn
        assert conn.ask("CONFIG", "SET", "maxmemory-clients", "0", "client-query-buffer-limit", "1gb",
                        "client-output-buffer-limit", "normal 0 0 0 pubsub 32mb 8mb 60") == b"OK"


def names_of_clients(conn):
    return set(re.findall(rb" name=(\S+) ", conn.ask("CLIENT", "LIST")))


def evicted_clients(conn):
    return int(re.search(rb"evicted_clients:(\d+)", conn.ask("INFO", "stats"))[1])


def test_who_leaves_too_much_unread_is_closed(node, limited):
    assert limited.ask("CONFIG", "SET", "client-output-buffer-limit", "normal 100000 0 0 pubsub 0 300000 1") == b"OK"
    limited.ask("SET", "small", "x" * 90_000)
    limited.ask("SET", "large", "x" * 110_000)
    with node.wire() as conn, node.wire() as listener:
        assert len(conn.ask("GET", "small")) == 90_000
        conn.send(wire.encode(["GET", "large"]))
        assert conn.closes_within(15) and conn.leftover() == b""  # nothing of the answer, as in Redis
        listener.ask("CLIENT", "SETNAME", "listener")
        listener.ask("SUBSCRIBE", "news")
        for _ in range(10):  # more than the sockets take
            limited.ask("PUBLISH", "news", "x" * 1_000_000)
        began = time.monotonic()
        assert b"listener" in names_of_clients(limited)
        until(lambda: b"listener" not in names_of_clients(limited), 3 + SLACK_S, "closed after its second", every_s=0.05)
        assert time.monotonic() - began > 0.5


def test_who_asks_for_too_much_at_once_is_closed(node, limited):
    assert limited.ask("CONFIG", "SET", "client-query-buffer-limit", "1mb") == b"OK"
    with node.wire() as conn:
        assert conn.ask("SET", "k", "x" * 1_000_000) == b"OK"
        conn.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4000000\r\n" + b"x" * 1_100_000)
        assert conn.closes_within(15)


def test_the_biggest_clients_go_when_all_take_too_much(node, limited):
    assert limited.ask("CONFIG", "SET", "maxmemory-clients", "10mb") == b"OK"

    def client(name, request_bytes):
        conn = node.wire()
        assert conn.ask("CLIENT", "SETNAME", name) == b"OK"
        conn.ask("CLIENT", "NO-EVICT", "on" if name == "spared" else "off")
        conn.send(b"*2\r\n$20000000\r\n" + b"x" * request_bytes)
        return conn

    # A buffer has up to twice its bytes: the three take 5.2 MB at most. When big is too much it has 5 MB, far more
    # than middle, which would go with it otherwise.
    with client("small", 100_000), client("middle", 300_000), client("spared", 2_000_000):
        until(lambda: {b"small", b"middle", b"spared"} <= names_of_clients(limited), 10)
        with client("big", 9_000_000) as big:
            assert big.closes_within(15)
            assert {b"small", b"middle", b"spared", b"admin"} <= names_of_clients(limited)
    with client("other", 100_000) as other, client("spared", 12_000_000):
        assert other.closes_within(15) and b"spared" in names_of_clients(limited)
    until(lambda: b"spared" not in names_of_clients(limited), 10)
    with node.wire() as conn:  # a queue counts, and so does who is too big alone
        before = evicted_clients(limited)
        conn.ask("MULTI")
        conn.send(b"".join(wire.encode(["SET", "k", "x" * 750_000]) for _ in range(15)))
        until(lambda: evicted_clients(limited) == before + 1, 10)


def test_who_monitors_and_does_not_read_is_one_of_those_who_go(node, limited):
    assert limited.ask("CONFIG", "SET", "maxmemory-clients", "2mb") == b"OK"
    with node.wire() as watcher, node.wire() as busy:
        watcher.ask("CLIENT", "SETNAME", "watcher")
        assert watcher.ask("MONITOR") == b"OK"
        for _ in range(100):  # 10 MB: more than the sockets take, less than the 32 MB of class pubsub
            assert busy.ask("ECHO", "x" * 100_000) == b"x" * 100_000
        until(lambda: b"watcher" not in names_of_clients(limited), 3, "it is closed")


def test_those_who_may_not_go_keep_no_worker_busy(node, limited):
    def ticks():
        return sum(map(int, pathlib.Path(f"/proc/{node.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))

    with node.wire() as conn:
        conn.ask("CLIENT", "NO-EVICT", "on")
        conn.ask("MULTI")
        conn.ask("SET", "k", "x" * 3_000_000)
        assert limited.ask("CONFIG", "SET", "maxmemory-clients", "1mb") == b"OK"
        before = ticks()
        time.sleep(0.5)  # time is the subject: nobody says anything
        assert ticks() - before < 20  # of 50 for each worker; clients may be looked for ten times a second


def test_info_has_every_field_of_redis(node, redis_server):
    client = node.client()
    client.set("k", "v")
    client.get("k")
    info = client.info()
    for section in ("default", "all", "everything", "server", "clients", "memory", "persistence", "stats", "replication", "cpu"):
        fields = [field for field in redis_server.client().info(section)
                  if not re.match(r"cmdstat_|latency_percentiles|errorstat_|db\d+$", field)]
        assert fields and not set(fields) - set(client.info(section)), section
    assert int(info["total_reads_processed"]) >= 2 and int(info["total_writes_processed"]) >= 2
    spread = client.info("latencystats")["latency_percentiles_usec_get"]
    assert list(spread) == ["p50", "p99", "p99.9"] and 0 < spread["p50"] <= spread["p99.9"] < 1e6
    client.config_set("latency-tracking-info-percentiles", "0.0 100.0")
    assert list(client.info("latencystats")["latency_percentiles_usec_get"]) == ["p0", "p100"]
    client.config_set("latency-tracking", "no")
    assert client.info("latencystats") == {}
    client.execute_command("CONFIG SET", "latency-tracking", "yes", "latency-tracking-info-percentiles", "50 99 99.9")
    assert info["redis_version"] == "7.0.15" and info["role"] == "master" and info["loading"] == 0
    assert info["tcp_port"] == node.port and len(info["run_id"]) == 40
    assert client.info("commandstats")["cmdstat_get"]["calls"] >= 1
    assert set(client.info("server")) >= {"redis_version"} and "used_memory" not in client.info("server")


def test_hits_and_misses_are_counted(node):
    client = node.client()
    client.set("k", "v")
    before = client.info("stats")
    for _ in range(10):
        client.get("k")
        client.get("absent")
    after = client.info("stats")
    assert after["keyspace_hits"] - before["keyspace_hits"] == 10
    assert after["keyspace_misses"] - before["keyspace_misses"] == 10


def test_errors_are_counted_by_their_first_word(node):
    client = node.client()
    client.config_resetstat()
    for _ in range(3):
        with pytest.raises(redis.ResponseError):
            client.execute_command("SET", "k", "v", "XYZ")
    assert client.info("errorstats")["errorstat_ERR"] in ("count=3", {"count": 3})
    assert client.info("commandstats")["cmdstat_set"]["failed_calls"] == 3


def test_time_and_lolwut_answer(node):
    client = node.client()
    seconds, micros = client.time()
    assert abs(seconds - time.time()) < 5 and 0 <= micros < 1_000_000
    assert b"7.0.15" in client.execute_command("LOLWUT")


def test_slow_commands_are_logged(node):
    client = node.client()
    old = client.config_get("slowlog-log-slower-than")["slowlog-log-slower-than"]
    client.config_set("slowlog-log-slower-than", 0)
    try:
        client.slowlog_reset()
        client.set("slow", "v")
        entries = client.slowlog_get(10)
        assert b"SET slow v" in [entry["command"] for entry in entries]
        assert client.slowlog_len() >= 1
    finally:
        client.config_set("slowlog-log-slower-than", old)
        client.slowlog_reset()


def test_latency_answers(node):
    with node.wire() as conn:
        assert conn.ask("LATENCY", "LATEST") == [] and conn.ask("LATENCY", "RESET") == 0
        assert conn.ask("LATENCY", "HISTORY", "command") == []
        conn.ask("SET", "k", "v")
        histogram = conn.ask("LATENCY", "HISTOGRAM", "set")
        assert histogram[0] == b"set" and b"calls" in histogram[1]


@pytest.mark.own
def test_debug_needs_permission(stage):
    node = stage.node("--enable-debug-command", "no")
    with node.wire() as conn:
        refusal = conn.ask("DEBUG", "SLEEP", "0")
        assert refusal.startswith(b"ERR DEBUG command not allowed.")
        assert b"local" not in refusal and b'enable-debug-command set to "yes"' in refusal


def test_debug_sleep_is_allowed_here(node):
    with node.wire() as conn:
        assert conn.ask("DEBUG", "SLEEP", "0") == b"OK"


# Every command that a node serves itself (issue 2, item 5).
NATIVE = """GET SET SETNX SETEX PSETEX GETSET GETDEL GETEX MGET MSET MSETNX DEL UNLINK EXISTS TOUCH TYPE STRLEN APPEND
HGET HMGET HGETALL HEXISTS HLEN HSTRLEN HKEYS HVALS HSCAN HRANDFIELD HSET HMSET HSETNX HINCRBY HINCRBYFLOAT HDEL
GETRANGE SETRANGE SUBSTR INCR DECR INCRBY DECRBY INCRBYFLOAT EXPIRE PEXPIRE EXPIREAT PEXPIREAT TTL PTTL EXPIRETIME
PEXPIRETIME PERSIST KEYS SCAN RANDOMKEY RENAME RENAMENX COPY DBSIZE FLUSHDB FLUSHALL SELECT SWAPDB PING ECHO QUIT RESET
HELLO AUTH CLIENT COMMAND CONFIG INFO TIME LOLWUT OBJECT MEMORY DEBUG SLOWLOG LATENCY""".split()


def test_command_info_says_what_redis_says(node, redis_server):
    """Name, arity, flags, key positions and ACL categories of every command served natively."""
    with node.wire() as ours, redis_server.wire() as theirs:
        wrong = []
        for name in NATIVE:
            (our,), (their,) = ours.ask("COMMAND", "INFO", name), theirs.ask("COMMAND", "INFO", name)
            if not isinstance(our, list):
                wrong.append((name, "unknown"))
                continue
            for i, what in enumerate(("name", "arity", "flags", "first key", "last key", "step", "acl")):
                mine, other = our[i], their[i]
                if isinstance(mine, list):
                    mine, other = sorted(mine), sorted(other)
                if mine != other:
                    wrong.append((name, what, mine, other))
        assert not wrong, "\n".join(map(str, wrong))


def test_command_answers_the_questions_of_libraries(node):
    with node.wire() as conn:
        count = conn.ask("COMMAND", "COUNT")
        assert count == len(conn.ask("COMMAND")) >= len(NATIVE)
        names = {bytes(name) for name in conn.ask("COMMAND", "LIST")}
        assert {name.lower().encode() for name in NATIVE} <= names
        assert conn.ask("COMMAND", "GETKEYS", "MSET", "a", "1", "b", "2") == [b"a", b"b"]
        assert conn.ask("COMMAND", "GETKEYS", "ECHO", "x").startswith(b"ERR The command has no key arguments")
        docs = conn.ask("COMMAND", "DOCS", "get")
        assert docs[0] == b"get" and b"summary" in docs[1]


def test_connections_are_counted(node):
    client = node.client()
    before = client.info("clients")["connected_clients"]
    conns = [node.wire() for _ in range(20)]
    for conn in conns:
        conn.ask("PING")
    assert client.info("clients")["connected_clients"] == before + 20
    for conn in conns:
        conn.close()
    until(lambda: client.info("clients")["connected_clients"] == before, 5, "closed clients are no longer counted")
