# SPDX-License-Identifier: BSD-3-Clause
"""Strings and counters through redis-py and redis-cli, on a node alone and on one with an L2."""

import pytest
import redis


def test_what_is_set_is_read(client):
    assert client.set("greeting", "hello") is True
    assert client.get("greeting") == "hello"
    assert client.get("nothing") is None
    assert client.strlen("greeting") == 5
    assert client.type("greeting") == "string"


def test_a_value_may_be_any_bytes(node):
    client = node.client()
    value = bytes(range(256)) * 17 + b"\r\n$-1\r\n"
    client.set(b"\x00\r\n key \xff", value)
    for _ in range(3):
        assert client.get(b"\x00\r\n key \xff") == value
    client.set("empty", b"")
    assert client.get("empty") == b"" and client.exists("empty") == 1


@pytest.mark.parametrize("size", [1, 44, 45, 4095, 4096, 4097, 65536, 1_000_000])
def test_values_of_every_size_come_back_whole(node, size):
    client = node.client()
    value = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    client.set("sized", value)
    assert client.get("sized") == value
    assert client.get("sized") == value
    assert client.getrange("sized", -3, -1) == value[-3:]


def test_set_with_its_conditions(client):
    assert client.set("k", "1", nx=True) is True
    assert client.set("k", "2", nx=True) is None
    assert client.set("k", "3", xx=True) is True
    assert client.set("absent", "x", xx=True) is None
    assert client.set("k", "4", get=True) == "3"
    assert client.set("k", "5", nx=True, get=True) == "4"
    assert client.get("k") == "4"
    assert client.setnx("k", "no") is False and client.setnx("k2", "yes") is True


def test_set_with_a_life(client):
    client.set("k", "v", ex=100)
    assert 99 <= client.ttl("k") <= 100
    client.set("k", "v", px=50_000)
    assert 49_000 < client.pttl("k") <= 50_000
    client.set("k", "w", keepttl=True)
    assert 48_000 < client.pttl("k") <= 50_000 and client.get("k") == "w"
    client.set("k", "x")
    assert client.ttl("k") == -1
    client.set("k", "x", exat=4_000_000_000)
    assert client.execute_command("EXPIRETIME", "k") == 4_000_000_000
    client.set("k", "x", pxat=4_000_000_000_123)
    assert client.execute_command("PEXPIRETIME", "k") == 4_000_000_000_123
    client.set("k", "gone", exat=1)
    assert client.get("k") is None


def test_setex_and_its_sisters(client):
    client.setex("a", 100, "1")
    client.psetex("b", 100_000, "2")
    assert client.mget("a", "b", "c") == ["1", "2", None]
    assert client.ttl("a") > 0 and client.pttl("b") > 0
    assert client.getset("a", "3") == "1" and client.ttl("a") == -1
    assert client.getdel("a") == "3" and client.get("a") is None
    assert client.getex("b", ex=1000) == "2" and client.ttl("b") > 900
    assert client.getex("b", persist=True) == "2" and client.ttl("b") == -1


def test_many_keys_at_once(client):
    pairs = {f"key:{i}": f"value {i}" for i in range(500)}
    assert client.mset(pairs) is True
    for _ in range(2):
        assert client.mget(list(pairs)) == list(pairs.values())
    assert client.msetnx({"key:1": "x", "fresh": "y"}) is False
    assert client.get("fresh") is None
    assert client.msetnx({"fresh": "y", "fresher": "z"}) is True
    assert client.mget("fresh", "fresh", "none", "fresher") == ["y", "y", None, "z"]


def test_parts_of_a_string(client):
    assert client.append("s", "Hello") == 5
    assert client.get("s") == "Hello"
    assert client.append("s", ", world") == 12
    assert client.get("s") == "Hello, world"
    assert client.setrange("s", 7, "there") == 12
    assert client.get("s") == "Hello, there"
    assert client.getrange("s", 0, 4) == "Hello" and client.substr("s", -5, -1) == "there"
    assert client.setrange("padded", 3, "x") == 4
    assert client.get("padded") == "\0\0\0x"


def test_counters_count(client):
    assert [client.incr("n") for _ in range(3)] == [1, 2, 3]
    assert client.get("n") == "3"
    assert client.incrby("n", 40) == 43 and client.decr("n") == 42 and client.decrby("n", 2) == 40
    assert client.get("n") == "40"
    assert client.incrbyfloat("n", 0.5) == 40.5
    assert client.get("n") == "40.5"


def test_counters_do_not_wrap(client):
    client.set("n", 2**63 - 1)
    with pytest.raises(redis.ResponseError, match="increment or decrement would overflow"):
        client.incr("n")
    client.set("n", "word")
    with pytest.raises(redis.ResponseError, match="value is not an integer or out of range"):
        client.incr("n")
    assert client.get("n") == "word"


def test_errors_are_those_of_redis(client):
    for words, text in [
        (["GET"], "wrong number of arguments for 'get' command"),
        (["SET", "k"], "wrong number of arguments for 'set' command"),
        (["SET", "k", "v", "EX", "0"], "invalid expire time in 'set' command"),
        (["SET", "k", "v", "EX", "1", "PX", "1"], "syntax error"),
        (["SETEX", "k", "-1", "v"], "invalid expire time in 'setex' command"),
        (["MSET", "a", "1", "b"], "wrong number of arguments for 'mset' command"),
        (["SETRANGE", "k", "-1", "v"], "offset is out of range"),
        (["NOSUCH", "a", "b"], "unknown command 'NOSUCH', with args beginning with: 'a' 'b' "),
    ]:
        with pytest.raises(redis.ResponseError) as error:
            client.execute_command(*words)
        assert str(error.value) == text, words


def test_a_pipeline_answers_in_order(client):
    pipe = client.pipeline(transaction=False)
    for i in range(1000):
        pipe.set("k", i)
        pipe.get("k")
        pipe.get(f"absent:{i}")
    replies = pipe.execute()
    assert replies[1::3] == [str(i) for i in range(1000)]
    assert all(reply is True for reply in replies[0::3]) and all(reply is None for reply in replies[2::3])


def test_redis_cli_sets_and_gets(node):
    node.cli("FLUSHALL")
    assert node.cli("SET", "k", "a value") == "OK"
    assert node.cli("GET", "k") == "a value"
    assert node.cli("-3", "GET", "k") == "a value"
    assert node.cli("INCRBY", "n", "41") == "41"
    assert node.cli("-x", "SET", "from stdin", stdin="line 1\nline 2") == "OK"
    assert node.cli("GET", "from stdin") == "line 1\nline 2"
    assert node.cli(stdin="SET a 1\nINCR a\nGET a\n").split() == ["OK", "2", "2"]
    assert node.cli("--csv", "MGET", "a", "none").lower() == '"2",null'
