# SPDX-License-Identifier: BSD-3-Clause
"""What client libraries send before their first command, byte for byte, sent to redis-server and to a node: the answers
are the same, but for what is a server's own (its id, INFO) and for CLIENT SETINFO, which Redis knows since 7.2 and the
node answers with OK.

Recorded from ioredis 5.3 and 5.8, node-redis 4.6 and 5.8, go-redis 9, StackExchange.Redis 2.7, redis-py 5, lettuce 6.4,
jedis 5, redis-rb 5, hiredis-based ones.
"""

import pytest

import wire

SETINFO = [["CLIENT", "SETINFO", "LIB-NAME", "library"], ["CLIENT", "SETINFO", "LIB-VER", "1.2.3"]]
SEQUENCES = {
    "ioredis": [["INFO"], ["SELECT", "0"], ["CLIENT", "SETNAME", "me"], ["GET", "k"]],
    "ioredis, one by one": [[["INFO"]], [["GET", "k"]]],
    "node-redis 4": [["CLIENT", "SETINFO", "LIB-NAME", "node-redis"], ["CLIENT", "SETINFO", "LIB-VER", "4.7.0"],
                     ["CLIENT", "SETNAME", "me"], ["SELECT", "1"], ["GET", "k"]],
    "node-redis 5": [["HELLO", "3", "SETNAME", "me"], ["CLIENT", "SETINFO", "LIB-VER", "5.8.0"],
                     ["CLIENT", "SETINFO", "LIB-NAME", "node-redis"], ["SELECT", "1"],
                     ["CLIENT", "MAINT_NOTIFICATIONS", "ON", "moving-endpoint-type", "external-ip"], ["GET", "k"]],
    "node-redis 5 with its cache": [["HELLO", "3"], *SETINFO, ["CLIENT", "TRACKING", "ON"], ["GET", "k"]],
    "go-redis": [[["HELLO", "3"]], [*SETINFO, ["CLIENT", "MAINT_NOTIFICATIONS", "ON"]], [["SELECT", "2"], ["READONLY"]],
                 [["GET", "k"]]],
    "go-redis without HELLO 3": [[["HELLO", "3", "AUTH", "default", "wrong"]], [["PING"]]],
    "StackExchange.Redis": [["CLIENT", "SETNAME", "host(SE.Redis-v2.7.33)"],
                            ["CLIENT", "SETINFO", "lib-name", "SE.Redis"], ["CLIENT", "SETINFO", "lib-ver", "2.7.33"],
                            ["CONFIG", "GET", "slave-read-only"], ["CONFIG", "GET", "databases"], ["CONFIG", "GET", "timeout"],
                            ["SENTINEL", "MASTERS"], ["INFO", "replication"], ["INFO", "server"], ["CLUSTER", "NODES"],
                            ["GET", "__Booksleeve_TieBreak"], ["ECHO", b"\x00\x01\xfe\xffABCDEFGHIJKL"]],
    "StackExchange.Redis, messages": [["CLIENT", "SETNAME", "host"], ["ECHO", "x"], ["SUBSCRIBE", "__Booksleeve_MasterChanged"],
                                      ["PING"], ["UNSUBSCRIBE", "__Booksleeve_MasterChanged"], ["PING"]],
    "redis-py 5": [[["HELLO", "3"]], [["CLIENT", "SETNAME", "me"]], [["CLIENT", "SETINFO", "LIB-NAME", "redis-py"]],
                   [["CLIENT", "SETINFO", "LIB-VER", "5.0.1"]], [["SELECT", "3"]], [["GET", "k"]]],
    "lettuce": [[["HELLO", "3", "SETNAME", "me"]], [*SETINFO, ["SELECT", "1"]], [["COMMAND"]], [["CLIENT", "NO-TOUCH", "OFF"]]],
    "jedis": [[["CLIENT", "SETNAME", "me"]], SETINFO, [["PING"]]],
    "redis-rb": [[["HELLO", "3"], ["CLIENT", "SETINFO", "LIB-NAME", "redis-client"]], [["ROLE"]], [["GET", "k"]]],
    "Sentinel's question": [["ROLE"], ["COMMAND", "COUNT"], ["READWRITE"], ["ASKING"]],
    "tools": [["CLIENT", "GETNAME"], ["CLIENT", "NO-EVICT", "ON"], ["CLIENT", "REPLY", "ON"], ["MODULE", "LIST"],
              ["CLUSTER", "INFO"], ["DEBUG", "JMAP"], ["LASTSAVE"], ["MEMORY", "DOCTOR"]],
}


def rounds_of(sequence):
    """Commands in one write, or several writes that each wait for their answers."""
    return sequence if isinstance(sequence[0][0], list) else [sequence]


def normal(words, reply):
    """What is compared of a reply: its bytes, but for what is a server's own."""
    raw, value = reply
    name = words[0].upper()
    if words[:2] in (["CLIENT", "SETINFO"],):
        return "CLIENT SETINFO"
    if name == "HELLO" and not isinstance(value, wire.Error):
        pairs = list(value) if isinstance(value, wire.Map) else list(zip(value[::2], value[1::2]))
        return [type(value), [list(pair) for pair in pairs if pair[0] != b"id"]]
    if name == "INFO":
        return [type(value), {line.split(b":")[0] for line in value.split(b"\r\n")
                              if line.split(b":")[0] in (b"redis_version", b"redis_mode", b"loading", b"role", b"tcp_port",
                                                         b"run_id", b"connected_slaves", b"# Replication", b"# Server")}]
    if words in (["COMMAND"], ["COMMAND", "COUNT"], ["LASTSAVE"], ["MEMORY", "DOCTOR"], ["ROLE"]):
        return type(value) if name != "ROLE" else value[0]
    return raw


def talk(server, sequence):
    """[(words, what is compared)]"""
    answers = []
    with server.wire() as conn:
        for commands in rounds_of(sequence):
            conn.send(b"".join(map(wire.encode, commands)))
            answers += [(words, normal(words, conn.read_raw())) for words in commands]
    return answers


@pytest.mark.parametrize("place", ["node", "alone"])
@pytest.mark.parametrize("library", SEQUENCES)
def test_a_library_connects_as_to_redis(servers, library, place):
    for server in servers["redis"], servers["l2"], servers["alone"]:
        with server.wire() as conn:
            conn.ask("DEL", "k")
    sequence = SEQUENCES[library]
    for (words, theirs), (_, ours) in zip(talk(servers["redis"], sequence), talk(servers[place], sequence), strict=True):
        assert ours == theirs, words


def test_setinfo_answers_ok(servers):
    for place in "node", "alone":
        with servers[place].wire() as conn:
            assert [conn.ask_raw(*words) for words in SETINFO] == [b"+OK\r\n"] * 2


def test_a_file_of_inline_commands(servers):
    """telnet, nc and the health checks of load balancers."""
    data = b"PING\r\n\r\nSET k 'a b'\nGET k\r\nECHO \"\\x41\\n\"\r\nEXISTS k nosuch\r\nQUIT\r\n"

    def whole(server):
        with server.socket() as sock:
            sock.sendall(data)
            return b"".join(iter(lambda: sock.recv(4096), b""))
    assert whole(servers["node"]) == whole(servers["redis"]) == whole(servers["alone"])
