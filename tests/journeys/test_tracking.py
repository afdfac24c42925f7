# SPDX-License-Identifier: BSD-3-Clause
"""CLIENT TRACKING: what clients keep themselves is told off when it changes, wherever it was changed.

What one connection sees is compared with redis-server byte by byte; across nodes, and while Redis changes under them, a
client with a cache of its own must end with what Redis holds, and never serve what is older than the bound."""

import random
import re
import threading
import time

import pytest

import wire
from harness import BOUND_S, SLACK_S, until
from proxy import FaultProxy

PUSH_DEADLINE_S = 5.0


# --- what one connection sees, against redis-server -------------------------------------------------------------------


def stream(server, proto, phases):
    """What comes on one connection, as bytes. Each phase is sent in one write, and ends with a mark; numbers of clients,
    which differ between servers, read 7."""
    with server.wire(proto=proto) as conn:
        own = conn.ask("CLIENT", "ID")
        heard = []
        for number, phase in enumerate(phases + [[]]):
            mark = b"mark %d" % number
            phase = [[str(own) if word == "<own>" else word for word in words] for words in phase]
            conn.send(b"".join(wire.encode(words) for words in phase) + wire.encode(["ECHO", mark]))
            while True:
                raw, value = conn.read_raw()
                heard.append(re.sub(rb"^:%d\r\n$" % own, b":7\r\n", raw).replace(b":%d\r\n" % own, b":7\r\n"))
                if value == mark:
                    break
        return b"".join(heard)


def tracking(*words):
    return ["CLIENT", "TRACKING", *words]


INFO = ["CLIENT", "TRACKINGINFO"]
OPTIONS = [
    tracking("on", "PREFIX", "a"), tracking("on", "BCAST", "PREFIX", "foo", "PREFIX", "foobar"), INFO,
    tracking("on", "BCAST", "PREFIX", "b", "PREFIX", "a"), INFO, tracking("on", "BCAST"), INFO,
    tracking("on", "BCAST", "PREFIX", "ab"), tracking("on"), tracking("on", "OPTIN"), tracking("off"), INFO,
    tracking("on", "OPTIN", "OPTOUT"), tracking("on", "BCAST", "OPTIN"), tracking("on", "BCAST", "OPTOUT", "OPTIN"),
    tracking("on", "optin"), INFO, tracking("on", "optout"), tracking("on", "bcast"), ["CLIENT", "CACHING", "no"],
    ["CLIENT", "CACHING", "yes"], INFO, ["CLIENT", "CACHING", "x"], INFO, ["PING"], INFO, tracking("on", "noloop"), INFO,
    ["CLIENT", "CACHING", "yes"], ["CLIENT", "CACHING", "no"], tracking("off"), tracking("on", "OPTOUT", "NOLOOP"),
    ["CLIENT", "CACHING", "no"], INFO, ["CLIENT", "NOSUCH"], INFO, ["CLIENT", "CACHING", "no"], ["NOSUCH"], INFO,
    ["CLIENT", "CACHING", "yes"], tracking("on", "REDIRECT", "99999"), tracking("on", "REDIRECT", "abc"),
    tracking("on", "REDIRECT", "0"), tracking("on", "REDIRECT", "-1"), tracking("on", "REDIRECT"),
    tracking("on", "REDIRECT", "<own>", "REDIRECT", "<own>"), tracking("maybe"), tracking("maybe", "x"),
    tracking("on", "PREFIX"), tracking("off", "x"), tracking("off", "PREFIX", "x"), ["CLIENT", "GETREDIR"],
    ["CLIENT", "CACHING", "no"], tracking("off"), ["CLIENT", "GETREDIR"], tracking("on", "OPTIN", "REDIRECT", "<own>"),
    ["CLIENT", "GETREDIR"], INFO, tracking("off"), ["CLIENT", "CACHING"], ["CLIENT", "CACHING", "yes"],
    ["CLIENT", "GETREDIR", "x"], ["CLIENT", "TRACKINGINFO", "x"], ["CLIENT", "TRACKING"],
    tracking("on", "BCAST", "PREFIX", ""), INFO, ["RESET"], INFO, ["CLIENT", "GETREDIR"]]

# Told of what the client itself changes: right behind the reply.
PUSHES = {
    "default": [[tracking("on"), ["SET", "k", "1"], ["GET", "k"], ["SET", "k", "2"], ["SET", "k", "3"], ["PING"]],
                [["GET", "k"]], [["SET", "k", "4"], ["PING"]], [["MGET", "a", "b", "none"]],
                [["MSET", "b", "1", "a", "2", "c", "3"], ["PING"]], [["GET", "none"]], [["SET", "none", "1"], ["PING"]],
                [["GET", "k"]], [["DEL", "k"], ["PING"]], [["DEL", "k"]], [["STRLEN", "a"]], [["APPEND", "a", "x"]],
                [["EXISTS", "a"]], [["EXPIRE", "a", "100"]], [["TTL", "a"]], [["PERSIST", "a"]], [["TYPE", "a"]],
                [["RENAME", "a", "b"]], [["GET", "b"]], [["INCR", "n"], ["GET", "b"]], [["GETDEL", "b"]],
                [["GET", "n"]], [["EXPIRE", "n", "-1"]], [["HGET", "h", "f"]], [["HSET", "h", "f", "v"]],
                [["HGETALL", "h"]], [["HDEL", "h", "f"]], [["GET", "k"]], [tracking("off"), ["SET", "k", "5"]]],
    "optin": [[tracking("on", "OPTIN"), ["GET", "k"]], [["SET", "k", "1"], ["PING"]],
              [["CLIENT", "CACHING", "yes"], ["GET", "k"]], [["SET", "k", "2"], ["PING"]],
              [["CLIENT", "CACHING", "yes"], ["CLIENT", "GETNAME"], ["GET", "k"], ["GET", "l"]],
              [["SET", "l", "1"], ["SET", "k", "1"], ["PING"]]],
    "optout": [[tracking("on", "OPTOUT"), ["GET", "k"]], [["SET", "k", "1"], ["PING"]],
               [["CLIENT", "CACHING", "no"], ["GET", "k"], ["GET", "l"]], [["SET", "k", "2"], ["SET", "l", "2"], ["PING"]]],
    "silent": [[tracking("on"), ["GET", "k"]], [["CLIENT", "REPLY", "SKIP"], ["SET", "k", "1"], ["PING"]]],
    "block": [[tracking("on"), ["MGET", "k", "l"]], [["MULTI"], ["SET", "k", "1"], ["INCR", "n"], ["SET", "l", "1"],
                                                      ["EXEC"], ["PING"]],
              [["MULTI"], ["GET", "k"], ["HGETALL", "h"], ["EXEC"]], [["SET", "k", "2"], ["HSET", "h", "f", "v"], ["PING"]]],
    "optin block": [[tracking("on", "OPTIN"), ["CLIENT", "CACHING", "yes"], ["MULTI"], ["GET", "k"], ["GET", "l"],
                     ["EXEC"], ["GET", "n"]], [["SET", "k", "1"], ["SET", "l", "1"], ["SET", "n", "1"], ["PING"]]],
}
# Not of what the client itself changes, but of what becomes of it, and of what others change.
NOLOOP = {
    "noloop": [[tracking("on", "NOLOOP"), ["GET", "k"]], [["SET", "k", "1"], ["PING"]], [["MGET", "k", "a"]],
               [["EVAL", "return redis.call('SET', KEYS[1], '2')", "1", "k"], ["GET", "k"], ["DEL", "k"]],
               [["MULTI"], ["SET", "k", "1"], ["GET", "k"], ["EXEC"], ["INCR", "k"]],
               [["SET", "n", "1", "PX", "500"], ["GET", "n"], ["GET", "l"]], [["LPUSH", "l", "1"], ["PING"]]],
    "noloop again": [[tracking("on"), ["GET", "k"]], [["SET", "k", "1"], ["GET", "k"]],
                     [tracking("on", "NOLOOP"), ["SET", "l", "1"], ["GET", "l"], ["SET", "l", "2"]],
                     [tracking("off"), tracking("on", "NOLOOP")], [["GET", "k"]], [["SET", "k", "2"]]],
    "noloop speaks": [[tracking("on", "NOLOOP"), ["HELLO", "2"], ["HELLO", "3"], ["HSET", "h", "f", "v"]],
                      [["HGETALL", "h"]], [["HSET", "h", "f", "w"], ["HGETALL", "h"], ["PING"]]],
    "noloop broadcast": [[tracking("on", "BCAST", "NOLOOP", "PREFIX", "n", "PREFIX", "k")],
                         [["SET", "n", "1"], ["GET", "n"], ["PING"]], [["SET", "k", "1", "PX", "1"], ["SET", "a", "1"]],
                         [tracking("on", "BCAST", "NOLOOP", "PREFIX", "b")], [["SET", "b", "1"], ["DEL", "n"]]],
}
ALONE = {
    "noloop": [[tracking("on", "NOLOOP"), ["GET", "k"]], [["SET", "k", "1"], ["PING"]], [["GET", "k"]], [["FLUSHDB"]]],
    "flush": [[tracking("on"), ["GET", "k"]], [["FLUSHALL"], ["PING"]], [["SET", "k", "1"]], [["FLUSHDB", "ASYNC"]],
              [tracking("off"), tracking("on", "BCAST")], [["FLUSHDB"], ["PING"]]],
    "broadcast": [[tracking("on", "BCAST")], [["SET", "b", "1"], ["SET", "a", "1"], ["SET", "b", "2"], ["PING"]],
                  [["DEL", "nosuch"]], [["MSET", "z", "1", "y", "2", "", "3"]], [["DEL", "z", "a"]]],
    "prefixes": [[tracking("on", "BCAST", "PREFIX", "user:", "PREFIX", "a")],
                 [["MSET", "user:1", "1", "use", "2", "a", "3", "abc", "4", "user:", "5"]], [["SET", "x", "1"]],
                 [tracking("on", "BCAST", "PREFIX", "x")], [["SET", "x", "1"], ["DEL", "user:1"]]],
    "broadcast noloop": [[tracking("on", "BCAST", "NOLOOP")], [["SET", "b", "1"], ["PING"]], [["PING"]]],
    "silence": [[tracking("on"), ["GET", "k"]], [["CLIENT", "REPLY", "OFF"], ["SET", "k", "1"],
                                                  ["CLIENT", "REPLY", "ON"], ["PING"]]],
    "broadcast block": [[tracking("on", "BCAST")], [["MULTI"], ["SET", "b", "1"], ["SET", "a", "1"], ["EXEC"], ["PING"]]],
    "flush in a block": [[tracking("on"), ["GET", "k"]], [["MULTI"], ["FLUSHALL"], ["SET", "k", "1"], ["EXEC"], ["PING"]]],
    "redirected to itself": [[tracking("on", "REDIRECT", "<own>"), ["GET", "k"], ["SET", "k", "1"], ["PING"]],
                             [["GET", "k"], ["FLUSHALL"]]],
}


def compare(node, redis_server, proto, phases):
    theirs = stream(redis_server, proto, phases)
    assert stream(node, proto, phases) == theirs


@pytest.fixture(scope="module")
def judge(module_stage):
    """A Redis that is nobody's L2."""
    return module_stage.redis()


@pytest.mark.parametrize("proto", [2, 3])
def test_options_are_answered_as_redis_does(node, judge, proto):
    compare(node, judge, proto, [[words] for words in OPTIONS])
    compare(node, judge, proto, [OPTIONS])


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("name", PUSHES | ALONE)
def test_alone_all_is_told_as_redis_tells_it(node_alone, judge, name, proto):
    for server in (node_alone, judge):
        server.client().flushall()
    compare(node_alone, judge, proto, (PUSHES | ALONE)[name])


def replies_and_pushes(server, phases, told=None):
    """What comes on one connection in RESP3: the replies in order; the keys that are told in each phase, sorted. Waits for
    as many as `told` has, since an announcement of Redis may come later than the reply."""
    replies, pushes = [], []
    with server.wire(proto=3) as conn:
        for number, phase in enumerate(phases):
            conn.send(b"".join(map(wire.encode, phase)))
            heard, left = [], len(phase) - sum("SKIP" in words for words in phase) * 2
            while left or (told and len(heard) < len(told[number])):
                value = conn.read()
                if isinstance(value, wire.Push):
                    heard.append(value[1][0])
                else:
                    replies.append(value)
                    left -= 1
            if told is None:
                conn.send(wire.encode(["ECHO", "mark"]))
                while (value := conn.read()) != b"mark":
                    heard.append(value[1][0])
            pushes.append(sorted(heard))
    return replies, pushes


def told_until_a_stranger_wrote(server, stranger, phases):
    """The replies, and the keys that were told, each once; what expires has expired."""
    stranger.client().delete("k", "l", "a", "b", "h", "n")
    replies, told = [], set()
    with server.wire(proto=3) as conn:

        def ask(*words):
            conn.send(wire.encode(words))
            while isinstance(value := conn.read(), wire.Push):
                told.update(value[1])
            return value

        for words in sum(phases, []) + [["GET", "last"], ["SET", "b:last", "1"]]:
            reply = ask(*words)
            replies.append(reply if words[0] != "HELLO" else None)
        until(lambda: all(stranger.client().pttl(key) < 0 for key in "nk"), 5, "what is to expire has, and was announced")
        stranger.client().mset({"last": "1", "b:last": "1"})
        while not told & {b"last", b"b:last"}:
            told.update(conn.read()[1])
    return replies, told - {b"last", b"b:last"}


@pytest.mark.own
@pytest.mark.parametrize("name", NOLOOP)
def test_with_an_l2_who_says_noloop_is_told_what_redis_tells(node_with_l2, redis_server, judge, name):
    ours = told_until_a_stranger_wrote(node_with_l2, redis_server, NOLOOP[name])
    assert ours == told_until_a_stranger_wrote(judge, judge, NOLOOP[name])


def line_of(redis_server):
    """The connections to L2 of the one client for whom it tracks: that which asks, that which hears."""
    rows = [row for row in redis_server.client().client_list() if row["redir"] not in ("-1", "0", row["id"])]
    return (rows[0]["id"], rows[0]["redir"]) if rows else None


@pytest.mark.own
@pytest.mark.parametrize("which", [0, 1])
def test_who_says_noloop_drops_everything_when_redis_cannot_tell_it(node_with_l2, redis_server, which):
    """And is told of all, its own changes, too, from then on."""
    until(lambda: line_of(redis_server) is None, 5, "others have left")
    with node_with_l2.wire(proto=3) as conn:
        conn.ask(*tracking("on", "NOLOOP"))
        conn.ask("GET", "k")
        redis_server.client().execute_command("CLIENT", "KILL", "ID", line_of(redis_server)[which])
        assert conn.read() == [b"invalidate", None]
        conn.ask("GET", "k")
        conn.ask("SET", "k", "2")
        assert conn.read() == [b"invalidate", [b"k"]]
    until(lambda: line_of(redis_server) is None, 5, "nothing of it is left")


@pytest.mark.own
def test_writes_keep_their_order_when_the_line_of_noloop_is_lost(node_with_l2, redis_server):
    """Redis reads 16 KB of a connection at a time: what comes by another one meanwhile would be done in between."""
    until(lambda: line_of(redis_server) is None, 5, "others have left")
    with node_with_l2.wire(proto=3) as conn, redis_server.wire() as stranger:
        warm = [node_with_l2.wire(proto=3) for _ in range(4)]  # whatever worker it is at, that has a link of RESP3
        for other in warm:
            assert other.ask("SET", "warm", "1") == b"OK"
        conn.ask(*tracking("on", "NOLOOP"))
        ear = line_of(redis_server)[1]
        for words in (["MULTI"], ["DEBUG", "SLEEP", "0.2"], ["CLIENT", "KILL", "ID", ear], ["DEBUG", "SLEEP", "0.5"]):
            stranger.ask(*words)
        stranger.send(wire.encode(["EXEC"]))
        time.sleep(0.05)  # Redis stands still now, for 0.7 s; after 0.2 s the ear is closed
        conn.send(b"".join(wire.encode(["SET", "pad", "p" * 10_000]) for _ in range(60)) + wire.encode(["SET", "k", "old"]))
        time.sleep(0.4)
        conn.send(wire.encode(["SET", "k", "new"]) + wire.encode(["GET", "k"]))
        replies = []
        while len(replies) < 63:
            value = conn.read()
            replies += [] if isinstance(value, wire.Push) else [value]
        assert replies == [b"OK"] * 62 + [b"new"]
        assert redis_server.client().get("k") == b"new"
        for other in warm:
            other.close()


@pytest.mark.own
def test_what_a_client_wrote_before_it_left_is_done(node_with_l2, redis_server):
    """Its own connection to L2 stays until that has answered."""
    redis_server.client().delete("left")
    with node_with_l2.wire() as conn:
        conn.ask(*tracking("on", "NOLOOP"))
        conn.send(wire.encode(["INCR", "left"]) * 500)
    until(lambda: redis_server.client().get("left") == b"500", 5, "all of it is done")
    until(lambda: line_of(redis_server) is None, 5, "and nothing of it is left")


@pytest.mark.own
@pytest.mark.parametrize("name", PUSHES)
def test_with_an_l2_the_same_is_told(node_with_l2, redis_server, judge, name):
    """Behind the reply, but where among those that are sent at once is a matter of time; and a key that is read behind a
    write may be told once more, perhaps only while the next requests run."""
    for server in (redis_server, judge):  # not FLUSHALL, after which an epoch begins, in which all is told once more
        server.client().delete("k", "l", "a", "b", "c", "h", "n", "none")
    replies, told = replies_and_pushes(judge, PUSHES[name])
    ours, ours_told = replies_and_pushes(node_with_l2, PUSHES[name], told)
    assert ours == replies
    before = set()
    for number, keys in enumerate(told):
        assert set(keys) <= set(ours_told[number]) <= set(keys) | before, PUSHES[name][number]
        before |= set(keys)


def test_a_client_is_in_the_table_before_its_key_is_looked_up(node_alone):
    """Else it would not hear of a change in between. One that the lookup makes itself shows it: a key that has expired ends
    when it is met, and who met it is told."""
    with node_alone.wire(proto=3) as conn, node_alone.wire() as other:
        conn.ask(*tracking("on"))

        def told(turn):
            keys = [b"met:%d:%d" % (turn, i) for i in range(100)]
            other.send(b"".join(wire.encode(["SET", key, "1", "PX", "5"]) for key in keys + [b"met:last"]))
            assert {other.read() for _ in keys + [b"met:last"]} == {b"OK"}
            until(lambda: other.ask("PTTL", "met:last") == -2, 5, "all have expired")
            conn.send(wire.encode(["MGET", *keys]) + wire.encode(["ECHO", "end"]))
            heard = []
            while (value := conn.read()) != b"end":
                heard += value[1] if isinstance(value, wire.Push) else []
            assert set(heard) <= set(keys)
            return heard
        assert any(told(turn) for turn in range(5))  # they may have left before, when the node looked for what has expired


# --- redirection ------------------------------------------------------------------------------------------------------


def test_a_redirection_to_one_who_left_is_told(node):
    with node.wire(proto=3) as conn, node.wire() as stranger:
        other = node.wire(proto=3)
        assert conn.ask(*tracking("on", "REDIRECT", str(other.ask("CLIENT", "ID")))) == b"OK"
        conn.ask("GET", "k")
        stranger.ask("SET", "k", "1")
        assert other.read() == [b"invalidate", [b"k"]]
        other.close()
        until(lambda: len(node.client().client_list()) == 3, 5, "the node has seen it leave")
        number = conn.ask("CLIENT", "GETREDIR")
        conn.ask("GET", "l")
        stranger.ask("SET", "l", "2")
        assert conn.read() == [b"tracking-redir-broken", number]
        assert [b"broken_redirect"] == [flag for flag in conn.ask(*INFO)[0][1] if flag.startswith(b"broken")]
        assert re.search(rb" flags=tR .* redir=%d " % number, conn.ask("CLIENT", "INFO"))
        assert conn.ask(*tracking("on")) == b"OK"
        assert conn.ask(*INFO)[0][1] == [b"on"]


@pytest.mark.parametrize("proto", [2, 3])
def test_a_redirection_to_a_subscriber_is_a_message(node, judge, proto):
    """Byte by byte as Redis says it, nil too, which is as the one who redirects speaks; whatever is subscribed to."""
    heard = []
    for server in (judge, node):
        with server.wire(proto=proto) as conn, server.wire() as target, server.wire() as stranger:
            stranger.ask("DEL", "redirected")
            number = target.ask("CLIENT", "ID")
            target.ask("SUBSCRIBE", "__redis__:invalidate")
            assert conn.ask(*tracking("on", "REDIRECT", str(number))) == b"OK"
            conn.ask("GET", "redirected")
            stranger.ask("SET", "redirected", "1")
            heard.append([target.read_raw()[0]])
            conn.ask("GET", "redirected2")
            conn.ask("SET", "redirected2", "1")
            heard[-1].append(target.read_raw()[0])
            stranger.ask("CACHE.LASTSEQ")  # the node has heard what Redis announces of these; Redis knows no such thing
            conn.ask("GET", "redirected")
            stranger.ask("FLUSHDB")  # FLUSHALL begins an epoch: everything is told once more
            heard[-1].append(target.read_raw()[0])
    assert heard[0] == heard[1]


def test_a_redirection_crosses_workers(module_stage, redis_server):
    node = module_stage.node("--threads", "2", l2=redis_server)
    with node.wire() as stranger:
        owners = [node.wire(proto=proto) for proto in (2, 3, 2, 3)]
        targets = [node.wire(proto=3) for _ in owners]
        for i, (owner, target) in enumerate(zip(owners, reversed(targets))):
            assert owner.ask(*tracking("on", "REDIRECT", str(target.ask("CLIENT", "ID")))) == b"OK"
            owner.ask("GET", f"cross:{i}")
        for i, target in enumerate(reversed(targets)):
            stranger.ask("SET", f"cross:{i}", "1")
            assert target.read() == [b"invalidate", [b"cross:%d" % i]]
        assert owners[0].ask(*tracking("on", "REDIRECT", "99999")).startswith(b"ERR The client ID")
        for conn in owners + targets:
            conn.close()


# --- what the node shows ----------------------------------------------------------------------------------------------


def test_clients_and_keys_are_counted(node):
    def shown():
        return {name: int(value) for name, value in node.client().info().items() if name.startswith("tracking_")}

    until(lambda: shown()["tracking_clients"] == 0, 5)
    before = shown()
    with node.wire(proto=3) as one, node.wire(proto=3) as two, node.wire(proto=3) as three:
        for conn in (one, two):
            conn.ask(*tracking("on"))
            conn.ask("MGET", "count:1", "count:2", "count:3")
        three.ask(*tracking("on", "BCAST", "PREFIX", "x", "PREFIX", "y"))
        assert {name: value - before[name] for name, value in shown().items()} == {
            "tracking_clients": 3, "tracking_total_keys": 3, "tracking_total_items": 6, "tracking_total_prefixes": 2}
        assert re.search(rb" flags=tB .* redir=0 ", three.ask("CLIENT", "INFO"))
        assert re.search(rb" flags=t .* redir=0 ", two.ask("CLIENT", "INFO"))
    until(lambda: not any(shown().values()), 5, "they are gone, and what they had read")


def test_beyond_the_limit_of_the_table_some_are_told_at_once(node_alone):
    node_alone.client().config_set("tracking-table-max-keys", 10)
    with node_alone.wire(proto=3) as conn:
        conn.ask(*tracking("on"))
        conn.ask("FLUSHALL")  # empties the table, too
        assert conn.read() == [b"invalidate", None]
        keys = {b"limit:%d" % i for i in range(200)}
        conn.ask("MGET", *keys)
        told = set()

        def few_enough():
            conn.send(wire.encode(["INFO", "stats"]))
            while True:
                value = conn.read()
                if not isinstance(value, wire.Push):
                    return b"tracking_total_keys:10\r\n" in value
                told.update(value[1])
        until(few_enough, 5, "the table is within its limit")
        assert told < keys and len(told) == 190
        node_alone.client().config_set("tracking-table-max-keys", 9)
        told.update(conn.read()[1])  # without another command
        assert told < keys and len(told) == 191
        conn.ask("MULTI")
        node_alone.client().config_set("tracking-table-max-keys", 8)
        conn.send(wire.encode(["PING"]))
        assert isinstance(conn.read(), wire.Push) and conn.read() == b"QUEUED"  # in front of it, as Redis
    node_alone.client().config_set("tracking-table-max-keys", 1000000)


def test_who_does_not_read_what_he_is_told_is_closed(node_alone):
    """At 32 MiB of it, whatever else he asked for; others are told on."""
    with node_alone.wire(proto=3) as deaf, node_alone.wire(proto=3) as other, node_alone.wire() as writer:
        for conn in (deaf, other):
            conn.ask(*tracking("on", "BCAST", "PREFIX", "deaf:"))
        number, told = deaf.ask("CLIENT", "ID"), 0
        while writer.ask("CLIENT", "LIST", "ID", str(number)):
            keys = [b"deaf:%d:" % i + b"x" * 60000 for i in range(20)]
            assert writer.ask("MSET", *[word for key in keys for word in (key, "1")]) == b"OK"
            heard = []
            while len(heard) < len(keys):
                heard += other.read()[1]
            assert sorted(heard) == sorted(keys)
            told += 20 * 60000
            assert told < 48 << 20
        assert told > 30 << 20


# --- across nodes -----------------------------------------------------------------------------------------------------


class NearCache:
    """What a client library keeps: values by key, dropped when it is told. Reads one connection that speaks RESP3."""

    def __init__(self, conn, *options):
        self.conn, self.kept, self.asked, self.flushes = conn, {}, 0, 0
        conn.send(wire.encode(tracking("on", *options)))
        assert self.answer() == b"OK"

    def _take(self, value):
        if not isinstance(value, wire.Push):
            return False
        if value[1] is None:
            self.kept.clear()
            self.flushes += 1
        else:
            for key in value[1]:
                self.kept.pop(key, None)
        return True

    def get(self, key):
        if key not in self.kept:
            self.asked += 1
            self.conn.send(wire.encode(["GET", key]))
            self.kept[key] = self.answer()
        return self.kept[key]

    def answer(self):
        while True:
            value = self.conn.read()
            if not self._take(value):
                return value

    def listen(self):
        """All that has come."""
        self.conn.send(wire.encode(["PING"]))
        assert self.answer() == b"PONG"

    def drops(self, key):
        until(lambda: self.listen() or key not in self.kept, PUSH_DEADLINE_S, f"{key} is told off")


@pytest.mark.own
def test_changes_by_other_nodes_and_strangers_are_told(two_nodes, redis_server):
    with two_nodes[0].wire(proto=3) as conn, two_nodes[1].wire() as other, redis_server.wire() as stranger:
        near = NearCache(conn)
        for turn in range(50):
            for words in (["SET", "k", str(turn)], ["EVAL", "return redis.call('APPEND', 'k', 'x')", "0"],
                          ["PEXPIRE", "k", "10000"], ["DEL", "k"], ["RPUSH", "k", "1"], ["LPOP", "k"]):
                near.get(b"k")
                (stranger if turn % 2 else other).ask(*words)
                near.drops(b"k")
        stranger.ask("SET", "k", "1", "PX", "30")
        near.get(b"k")
        near.drops(b"k")
        until(lambda: (near.listen(), near.get(b"k"))[1] is None, 5, "it has expired")


@pytest.mark.own
def test_keys_of_one_write_are_told_in_its_order(two_nodes):
    """Not in that of their bytes, in which Redis announces them."""
    node = two_nodes[0]
    with node.wire(proto=3) as conn, node.wire() as writer:
        conn.ask(*tracking("on"))
        for turn in range(50):
            keys = [b"order:%d:%d" % (turn, i * 7 % 20) for i in range(20)]
            conn.ask("MGET", *keys)
            writer.ask("MSET", *[word for key in keys for word in (key, "1")])
            assert [conn.read()[1][0] for _ in keys] == keys


@pytest.mark.own
def test_a_block_is_broadcast_in_one_message_by_prefix(two_nodes, redis_server):
    with two_nodes[0].wire(proto=3) as conn, redis_server.client().pipeline(transaction=True) as block:
        conn.ask(*tracking("on", "BCAST", "PREFIX", "b:", "PREFIX", "a:"))
        for key in ("b:2", "a:1", "b:1", "c:1"):
            block.set(key, 1)
        block.execute()
        heard = []
        while len(heard) < 2:
            _, keys = conn.read()
            heard += [keys] if keys is not None else []  # a doubt, for the flush of another test
        assert heard == [[b"a:1"], [b"b:1", b"b:2"]]


@pytest.mark.own
def test_what_is_read_behind_flushall_is_not_in_doubt(two_nodes, redis_server):
    """Its epoch has begun when it is answered."""
    node = two_nodes[0]
    with node.wire(proto=3) as conn:
        assert node.client().flushall()
        conn.ask(*tracking("on"))
        keys = [b"after:%d" % i for i in range(300)]
        for key in keys:
            conn.ask("GET", key)
        redis_server.client().set("after:0", "1")
        assert conn.read() == [b"invalidate", [b"after:0"]]


@pytest.mark.own
def test_flushes_are_told_as_nil(two_nodes, redis_server):
    with two_nodes[0].wire(proto=3) as conn:
        near = NearCache(conn)
        for server in (redis_server, two_nodes[1], two_nodes[0]):
            near.get(b"k")
            before = near.flushes
            server.client().flushall()
            near.drops(b"k")
            assert near.flushes > before


@pytest.mark.own
def test_what_a_client_keeps_is_never_older_than_the_bound_and_at_rest_is_what_redis_holds(module_stage, redis_server):
    """Readers with caches of their own on two workers, while a node, another and a stranger write the same few keys."""
    node = module_stage.node("--threads", "2", l2=redis_server)
    other = module_stage.node(l2=redis_server)
    keys = [b"near:%d" % i for i in range(8)]
    written = {key: [(0, 0.0)] for key in keys}  # (number, when it was acknowledged)
    over = threading.Event()
    late = []

    def write(server, seed):
        rand = random.Random(seed)
        with server.wire() as conn:
            while not over.is_set():
                key = rand.choice(keys)
                with locks[key]:
                    number = written[key][-1][0] + 1
                    assert conn.ask("SET", key, str(number)) == b"OK"
                    written[key].append((number, time.monotonic()))

    def read(seed):
        rand = random.Random(seed)
        with node.wire(proto=3) as conn:
            near = NearCache(conn, *[[], ["NOLOOP"], ["BCAST", "NOLOOP"], []][seed])
            while not over.is_set():
                for _ in range(20):
                    key = rand.choice(keys)
                    began = time.monotonic()
                    seen = int(near.get(key) or 0)
                    for number, at in reversed(written[key][-200:]):
                        if number <= seen:
                            break
                        if at < began - BOUND_S - SLACK_S:
                            late.append((key, seen, number, began - at))
                near.listen()
            writers_done.wait()
            deadline = time.monotonic() + PUSH_DEADLINE_S
            while time.monotonic() < deadline:
                near.listen()
                if all(int(near.get(key) or 0) == written[key][-1][0] for key in keys):
                    break
            else:
                late.append({key: (near.get(key), written[key][-1][0]) for key in keys})
            used.append(near.asked)

    locks = {key: threading.Lock() for key in keys}
    writers_done, used = threading.Event(), []
    redis_server.client().delete(*keys)
    writers = [threading.Thread(target=write, args=(server, i)) for i, server in enumerate((node, other, redis_server))]
    readers = [threading.Thread(target=read, args=(i,)) for i in range(4)]
    for thread in writers + readers:
        thread.start()
    time.sleep(1.5)
    over.set()
    for thread in writers:
        thread.join()
    writers_done.set()
    for thread in readers:
        thread.join()
    assert not late, late[:3]
    assert sum(len(of_key) for of_key in written.values()) > 100 and min(used) > 10


# --- when the bus cannot be heard -------------------------------------------------------------------------------------


@pytest.fixture
def cut(stage):
    """(redis, the proxy in front of it, a node behind that)"""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node(l2=proxy.url)
        node.wait_synced()
        yield redis_server, proxy, node


@pytest.mark.own
@pytest.mark.parametrize("options", [[], ["NOLOOP"]])
def test_who_cannot_be_told_of_changes_is_told_to_drop_everything(cut, options):
    """In time, and again while it lasts; and what was read meanwhile is not kept for ever."""
    redis_server, proxy, node = cut
    with node.wire(proto=3) as conn, redis_server.wire() as stranger:
        stranger.ask("SET", "k", "old")
        near = NearCache(conn, *options)
        assert near.get(b"k") == b"old"
        proxy.black_hole("down", who="bus")
        stranger.ask("SET", "k", "new")
        began = time.monotonic()
        assert conn.read() == [b"invalidate", None]
        assert time.monotonic() - began < BOUND_S + SLACK_S
        near = NearCache(conn)
        assert near.get(b"k") == b"new"
        stranger.ask("SET", "k", "newer")
        assert conn.read() == [b"invalidate", None]
        proxy.heal()
        node.wait_synced(10)
        near = NearCache(conn)
        until(lambda: (near.listen(), near.get(b"k"))[1] == b"newer", 5, "the new value is seen")
        stranger.ask("SET", "k", "newest")
        until(lambda: (near.listen(), near.get(b"k"))[1] == b"newest", 5, "and the next")


@pytest.mark.own
def test_a_forged_announcement_is_a_doubt(cut):
    redis_server, _, node = cut
    with node.wire(proto=3) as conn, redis_server.wire() as stranger:
        conn.ask(*tracking("on"))
        conn.ask("GET", "k")
        stranger.ask("PUBLISH", "__redis__:invalidate", "k")
        assert conn.read() == [b"invalidate", None]


@pytest.mark.own
def test_a_message_of_the_bus_that_was_lost_is_a_doubt(cut):
    """The hole is found by the next beat."""
    _, proxy, node = cut
    with node.wire(proto=3) as conn:
        conn.ask(*tracking("on"))
        conn.ask("GET", "k")
        proxy.drop("frames", count=1)
        assert conn.read() == [b"invalidate", None]
