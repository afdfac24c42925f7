# SPDX-License-Identifier: BSD-3-Clause
"""Everything else goes to L2: what a node with an L2 relays, and what a node without one refuses."""

import pytest

import wire
from harness import SLACK_S, ask_timed, until


@pytest.fixture
def conn(node_with_l2):
    with node_with_l2.wire() as connection:
        connection.ask("FLUSHALL")
        yield connection


def test_lists_hashes_sets_and_sorted_sets_work(conn):
    assert conn.ask("RPUSH", "list", "a", "b", "c") == 3 and conn.ask("LRANGE", "list", "0", "-1") == [b"a", b"b", b"c"]
    assert conn.ask("HSET", "hash", "f", "1", "g", "2") == 2 and conn.ask("HGETALL", "hash") == [b"f", b"1", b"g", b"2"]
    assert conn.ask("SADD", "set", "x") == 1 and conn.ask("SMEMBERS", "set") == [b"x"]
    assert conn.ask("ZADD", "zset", "1.5", "m") == 1 and conn.ask("ZSCORE", "zset", "m") == b"1.5"
    assert conn.ask("XADD", "stream", "1-1", "f", "v") == b"1-1"
    assert [conn.ask("TYPE", key) for key in ("list", "hash", "set", "zset", "stream")] == [
        b"list", b"hash", b"set", b"zset", b"stream"]


def test_replies_keep_the_shapes_of_resp3(node_with_l2):
    with node_with_l2.wire(proto=3) as conn:
        conn.ask("FLUSHALL")
        conn.ask("HSET", "hash", "f", "1")
        conn.ask("ZADD", "zset", "1.5", "m")
        conn.ask("SADD", "set", "x")
        assert conn.ask_raw("HGETALL", "hash") == b"%1\r\n$1\r\nf\r\n$1\r\n1\r\n"
        assert conn.ask_raw("ZSCORE", "zset", "m") == b",1.5\r\n"
        assert conn.ask_raw("SMEMBERS", "set") == b"~1\r\n$1\r\nx\r\n"
        assert conn.ask_raw("HGET", "hash", "none") == b"_\r\n"
        with node_with_l2.wire() as old:
            assert old.ask_raw("HGET", "hash", "none") == b"$-1\r\n"


def test_a_string_read_of_another_type_is_refused(conn):
    conn.ask("RPUSH", "k", "a")
    wrong = b"WRONGTYPE Operation against a key holding the wrong kind of value"
    for _ in range(3):
        assert conn.ask("GET", "k") == wrong and conn.ask("INCR", "k") == wrong and conn.ask("STRLEN", "k") == wrong
    assert conn.ask("MGET", "k") == [wire.NULL_BULK]
    assert conn.ask("SET", "k", "now a string") == b"OK" and conn.ask("GET", "k") == b"now a string"
    assert conn.ask("LPUSH", "k", "a") == wrong
    assert conn.ask("DEL", "k") == 1 and conn.ask("LPUSH", "k", "a") == 1 and conn.ask("GET", "k") == wrong


def test_relayed_writes_of_strings_are_seen_at_once(conn):
    conn.ask("SET", "k", "abc")
    assert conn.ask("GET", "k") == b"abc"
    conn.ask("SETBIT", "k", "7", "0")
    assert conn.ask("GET", "k") == b"`bc"
    conn.ask("BITOP", "NOT", "k", "k")
    assert conn.ask("GET", "k") == b"\x9f\x9d\x9c"
    conn.ask("SET", "src", "copied")
    dump = conn.ask("DUMP", "src")
    assert conn.ask("RESTORE", "k", "0", dump, "REPLACE") == b"OK" and conn.ask("GET", "k") == b"copied"
    assert conn.ask("MOVE", "k", "4") == 1 and conn.ask("GET", "k") == wire.NULL_BULK


def test_movable_keys_are_found_too(conn):
    """SORT ... STORE names the key it writes among its options."""
    conn.ask("SET", "dst", "a string")
    assert conn.ask("GET", "dst") == b"a string"
    conn.ask("RPUSH", "list", "3", "1", "2")
    assert conn.ask("SORT", "list", "STORE", "dst") == 3
    assert conn.ask("GET", "dst").startswith(b"WRONGTYPE") and conn.ask("LRANGE", "dst", "0", "0") == [b"1"]


def test_a_pipeline_keeps_its_order_across_tiers(conn):
    commands, expected = [], []
    for i in range(300):
        commands += [["SET", "k", str(i)], ["GET", "k"], ["LPUSH", "l", str(i)], ["GET", "k"], ["LINDEX", "l", "0"]]
        expected += [b"OK", b"%d" % i, i + 1, b"%d" % i, b"%d" % i]
    assert conn.pipeline(commands) == expected


def test_errors_of_redis_come_through_unchanged(conn):
    assert conn.ask("HSET", "h", "f") == b"ERR wrong number of arguments for 'hset' command"
    assert conn.ask("LRANGE", "l", "a", "b") == b"ERR value is not an integer or out of range"
    assert conn.ask("ZADD", "z", "x", "m") == b"ERR value is not a valid float"


def test_nested_replies_pass(conn):
    conn.ask("GEOADD", "g", "13.361389", "38.115556", "Palermo")
    assert conn.ask("GEOPOS", "g", "Palermo", "none")[1] in (wire.NULL_ARRAY, None)
    conn.ask("XADD", "s", "1-1", "f", "v")
    assert conn.ask("XRANGE", "s", "-", "+") == [[b"1-1", [b"f", b"v"]]]
    info = conn.ask("XINFO", "STREAM", "s", "FULL")
    assert info[0] == b"length" and info[1] == 1


def test_the_nodes_own_keys_are_hidden(conn):
    conn.ask("SELECT", "15")
    assert conn.ask("DBSIZE") == 0 and conn.ask("KEYS", "*") == [] and conn.ask("RANDOMKEY") == wire.NULL_BULK
    assert conn.ask("SCAN", "0", "COUNT", "1000") == [b"0", []]
    assert b"db15" not in conn.ask("INFO", "keyspace")
    conn.ask("SET", "mine", "1")
    assert conn.ask("DBSIZE") == 1 and conn.ask("KEYS", "*") == [b"mine"] and conn.ask("RANDOMKEY") == b"mine"
    assert b"db15:keys=1," in conn.ask("INFO", "keyspace")


@pytest.mark.own
@pytest.mark.parametrize("words", ["LPUSH l a", "SADD s m", "ZADD z 1 m", "XADD s * f v", "PFADD h a",
                                   "GEOADD g 1 1 m", "SETBIT k 1 1", "DUMP k", "SORT l", "EVAL_RO return 0"])
def test_alone_they_are_unknown_commands(node_alone, words):
    name, *args = words.split()
    with node_alone.wire() as conn:
        quoted = "".join(f"'{arg}' " for arg in args)
        assert conn.ask(name, *args) == f"ERR unknown command '{name}', with args beginning with: {quoted}".encode()


def test_what_looks_into_values_is_asked_of_l2(stage, conn, redis_server):
    conn.ask("SET", "k", "v")
    conn.ask("PFADD", "h", "a", "b")
    with redis_server.wire() as direct:
        for words in (["DEBUG", "DIGEST-VALUE", "k"], ["DEBUG", "SDSLEN", "k"], ["DEBUG", "STRINGMATCH-LEN", "10"],
                      ["DEBUG", "SET-ACTIVE-EXPIRE", "1"], ["DEBUG", "OBJECT", "none"], ["PFDEBUG", "ENCODING", "h"], ["PFSELFTEST"]):
            assert conn.ask(*words) == direct.ask(*words), words
    closed = stage.redis("--enable-debug-command", "no")
    with stage.node(l2=closed).wire() as other, closed.wire() as direct:
        assert other.ask("DEBUG", "DIGEST-VALUE", "k") == direct.ask("DEBUG", "DIGEST-VALUE", "k")


READS_ONLY = "#!lua flags=allow-stale,no-writes\nreturn 7"


def test_a_pause_of_writes_lets_go_what_does_not_write(node_with_l2, conn):
    sha = conn.ask("SCRIPT", "LOAD", READS_ONLY)
    for name, flags in (("reads", "{'no-writes'}"), ("writes", "{}")):
        code = f"#!lua name={name}\nredis.register_function{{function_name='{name}', callback=function() return 8 end, flags={flags}}}"
        conn.ask("FUNCTION", "LOAD", "REPLACE", code)
    conn.ask("RPUSH", "l", "a")
    assert conn.ask("CLIENT", "PAUSE", "60000", "WRITE") == b"OK"
    held = [["SET", "k", "v"], ["EVAL", "return 7", "0"], ["EVAL", "#!lua\nreturn 7", "0"], ["FCALL", "writes", "0"], ["FCALL", "reads", "0"], ["PFCOUNT", "none"]]
    others = [node_with_l2.wire() for _ in held]
    with node_with_l2.wire() as gone:  # who is killed is not counted any more
        who = gone.ask("CLIENT", "ID")
        gone.send(wire.encode(["SET", "k", "v"]))
        until(lambda: node_with_l2.info("clients")["blocked_clients"] == "1", 5, "it is held")
        assert conn.ask("CLIENT", "KILL", "ID", str(who)) == 1
    for other, words in zip(others, held):
        other.send(wire.encode(words))
    until(lambda: node_with_l2.info("clients")["blocked_clients"] == str(len(held)), 5, "all that may write is held")
    for words, answer in ((["EVAL", READS_ONLY, "0"], 7), (["EVALSHA", sha.upper(), "0"], 7), (["FCALL_RO", "reads", "0"], 8),
                          (["EVAL_RO", "return 9", "0"], 9), (["LRANGE", "l", "0", "-1"], [b"a"])):
        assert conn.ask(*words) == answer, words
    assert b"wrong number of arguments" in conn.ask("SET", "k") and b"unknown command" in conn.ask("NOSUCH")
    assert conn.ask("CLIENT", "UNPAUSE") == b"OK"
    assert [other.read() for other in others] == [b"OK", 7, 7, 8, 8, 0]
    assert node_with_l2.info("clients")["blocked_clients"] == "0"
    for other in others:
        other.close()


@pytest.mark.own
@pytest.mark.parametrize("words", ["REPLICAOF a 1", "CLUSTER INFO", "MIGRATE h 1 k 0 1", "SAVE", "BGSAVE", "SHUTDOWN",
                                   "PSYNC ? -1", "FAILOVER"])
def test_what_would_hurt_the_house_is_refused(node_with_l2, redis_server, words):
    with node_with_l2.wire() as conn:
        reply = conn.ask(*words.split())
        assert isinstance(reply, wire.Error), reply
        assert conn.ask("PING") == b"PONG"
    assert redis_server.answers_ping() and redis_server.client().info("replication")["role"] == "master"


def test_settings_that_act_on_the_data_are_those_of_redis(conn, redis_server):
    with redis_server.wire() as direct:
        before = dict(zip(*[iter(direct.ask("CONFIG", "GET", "*"))] * 2))
        assert conn.ask("CONFIG", "SET", "maxmemory", "1gb", "timeout", "77", "maxmemory-policy", "allkeys-lfu") == b"OK"
        assert direct.ask("CONFIG", "GET", "maxmemory") == [b"maxmemory", b"1073741824"]
        assert direct.ask("CONFIG", "GET", "timeout") == [b"timeout", b"0"]  # ours
        assert conn.ask("CONFIG", "GET", "timeout", "MAXMEMORY") == [b"timeout", b"77", b"MAXMEMORY", b"1073741824"]
        conn.ask("SET", "k", "v")
        assert conn.ask("OBJECT", "FREQ", "k") == 5
        info = conn.ask("INFO", "memory")
        assert b"\r\nmaxmemory:1073741824\r\n" in info and b"\r\nmaxmemory_policy:allkeys-lfu\r\n" in info
        assert b"\r\nmaxmemory:1073741824\r\n" in conn.ask("INFO") and conn.ask("CONFIG", "GET", "memory") != [b"memory", b"1073741824"]
        # All or nothing: what is wrong with ours is said before Redis is asked; an error of Redis' leaves ours alone.
        wrong = b"ERR CONFIG SET failed (possibly related to argument '%s') - %s"
        for pairs, name, why in ((["maxmemory", "2gb", "timeout", "x"], b"timeout", b"argument couldn't be parsed into an integer"),
                                 (["timeout", "78", "maxmemory", "x"], b"maxmemory", b"argument must be a memory value"),
                                 (["timeout", "78", "maxmemory", "2gb", "port", "1"], b"port",
                                  b"Unable to listen on this port. Check server logs."),
                                 (["lua-time-limit", "1", "busy-reply-threshold", "1"], b"busy-reply-threshold",
                                  b"duplicate parameter")):
            assert conn.ask("CONFIG", "SET", *pairs) == wrong % (name, why)
        assert conn.ask("CONFIG", "SET", "timeout", "78", "no.such", "1") == (
            b"ERR Unknown option or number of arguments for CONFIG SET - 'no.such'")
        assert conn.ask("CONFIG", "GET", "maxmemory", "timeout")[1::2] == [b"77", b"1073741824"]
        assert [conn.ask(*words) for words in (["MULTI"], ["CONFIG", "SET", "maxmemory", "3gb", "timeout", "0"],
                                               ["CONFIG", "GET", "maxmemory", "timeout"], ["EXEC"])][-1] == [
            b"OK", [b"timeout", b"0", b"maxmemory", b"3221225472"]]
        conn.ask("CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction")
        # As test suites do: everything that is shown may be set to what it is, and each name is shown once.
        shown = conn.ask("CONFIG", "GET", "*")
        names = shown[::2]
        assert len(set(names)) == len(names) and set(before) <= set(names)
        for name, value in zip(names, shown[1::2]):
            answer = conn.ask("CONFIG", "SET", name, value)
            assert answer == b"OK" or b"can't set " in direct.ask("CONFIG", "SET", name, value), (name, answer)
        assert conn.ask("CONFIG", "GET", "*") == shown
        assert dict(zip(*[iter(direct.ask("CONFIG", "GET", "*"))] * 2)) == before


def test_a_call_names_at_most_so_many_settings(node_with_l2, node_alone):
    for node in (node_with_l2, node_alone):
        with node.wire() as conn:
            for what, words in (("GET", ["no.such"] * 100_000), ("GET", ["no.such*"] * 100_000), ("SET", ["no.such", "1"] * 100_000),
                                ("SET", ["no.such"] * 99_999), ("GET", ["timeout"] * 1281), ("SET", ["timeout", "0"] * 641)):
                reply, took_s = ask_timed(conn, "CONFIG", what, *words)
                assert reply == b"ERR too many parameters: CONFIG GET and CONFIG SET take at most 1280", (what, words[:2])
                assert took_s < 1.0 + SLACK_S, (what, words[:2], took_s)
            assert conn.ask("CONFIG", "GET", *["timeout"] * 1280) == [b"timeout", b"0"]
            assert conn.ask("CONFIG", "SET", *["timeout", "0"] * 640) == (
                b"ERR CONFIG SET failed (possibly related to argument 'timeout') - duplicate parameter")


def test_alone_settings_of_redis_are_remembered(node_alone):
    with node_alone.wire() as conn:
        assert conn.ask("CONFIG", "GET", "key-load-delay", "key-l*") == [b"key-load-delay", b"0"]  # hidden from patterns
        for name, value, shown in (("save", "3000 5", b"3000 5"), ("save", "", b""), ("notify-keyspace-events", "KEA", b"AKE"),
                                   ("notify-keyspace-events", "", b""), ("hash-max-ziplist-value", "1kb", b"1024"),
                                   ("hash-max-listpack-value", "64", b"64"), ("appendonly", "no", b"no")):
            assert conn.ask("CONFIG", "SET", name, value) == b"OK"
            assert conn.ask("CONFIG", "GET", name) == [name.encode(), shown]
        for name, value, why in (("notify-keyspace-events", "Q", b"Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
                                 ("save", "1", b"Invalid save parameters"), ("hz", "x", b"argument couldn't be parsed into an integer"),
                                 ("appendfsync", "x", b"argument(s) must be one of the following: everysec, always, no"),
                                 ("active-defrag-cycle-min", "100", b"argument must be between 1 and 99 inclusive"),
                                 ("appendonly", "yes", b"this node can do no other than 'no'"),
                                 ("daemonize", "no", b"can't set immutable config"), ("dir", "/", b"can't set protected config"),
                                 ("threads", "77", b"can't set immutable config"),
                                 ("maxmemory-clients", "101%", b"percentage argument must be less or equal to 100"),
                                 ("client-output-buffer-limit", "normal 1 1", b"Wrong number of arguments in buffer limit "
                                  b"configuration."), ("client-output-buffer-limit", "x 1 1 1", b"Invalid client class specified "
                                                       b"in buffer limit configuration.")):
            assert conn.ask("CONFIG", "SET", name, value) == (
                b"ERR CONFIG SET failed (possibly related to argument '%s') - %s" % (name.encode(), why))


def test_commands_that_only_l2_knows_are_counted_as_ours_are(conn, node_with_l2):
    client = node_with_l2.client()
    conn.ask("RPUSH", "queue", "a", "b", "c")
    client.config_resetstat()
    assert not any(name.startswith("cmdstat_rpush") for name in client.info("commandstats"))
    conn.ask("RPUSH", "queue", "d")
    conn.ask("RPUSH", "queue", "e")
    conn.ask("RPUSH", "queue")  # its arity is wrong: rejected
    conn.ask("SET", "string", "v")
    conn.ask("RPUSH", "string", "e")  # WRONGTYPE: failed
    conn.ask("BLPOP", "queue", "1")
    conn.ask("XGROUP", "CREATE", "stream", "group", "$", "MKSTREAM")
    conn.ask("MULTI")
    conn.ask("LPOP", "queue")
    conn.ask("EXEC")
    stats = client.info("commandstats")
    rpush = stats["cmdstat_rpush"]
    assert (rpush["calls"], rpush["rejected_calls"], rpush["failed_calls"]) == (3, 1, 1) and rpush["usec"] > 0
    assert stats["cmdstat_blpop"]["calls"] == stats["cmdstat_lpop"]["calls"] == 1
    assert stats["cmdstat_xgroup|create"]["calls"] == 1
    shown = client.execute_command("LATENCY HISTOGRAM", "rpush", "xgroup")
    assert shown[0::2] == [b"rpush", b"xgroup|create"] and shown[1][1] == 3
    assert "latency_percentiles_usec_rpush" in client.info("latencystats")
    client.config_resetstat()
    assert "cmdstat_rpush" not in client.info("commandstats")
