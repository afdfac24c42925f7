# SPDX-License-Identifier: BSD-3-Clause
"""Users: what redis-server 7.0.15 allows them, a node allows them, and nothing else.

The matrix takes every command of Redis, writes lines for it from its key specifications, and asks both servers as users
of many kinds: ACL DRYRUN for each cell, and where a line is denied the line itself.
"""

import hashlib
import itertools
import random
import re
import threading

import pytest
import redis

from harness import until
from test_scripts_alone import SCRIPTS as KNOWN
from wire import Error, Map

RULES = {
    "nobody": "on nopass",
    "reader": "on nopass +@read ~*",
    "writer": "on nopass +@write ~* -@dangerous",
    "safe": "on nopass +@all -@dangerous ~* &*",
    "app": "on nopass +@all ~app:* &app:*",
    "split": "on nopass +@all %R~ro:* %W~wo:* &app:*",
    "keyless": "on nopass +@all",
    "two": "on nopass +@string ~app:* (+@hash %R~ro:* +@list) (+publish &app:*)",
    "subs": "on nopass -@all +config|get +client|list +object +xinfo -xinfo|stream +select|0 ~*",
    "minus": "on nopass +@all -get -config|set -client -@blocking ~* allchannels",
    "slow": "on nopass +@slow -@admin ~app:* ~wo:*",
    "conn": "on nopass +@connection +@fast -@keyspace %R~* &*",
    "scripted": "on nopass +@scripting +@transaction ~app:*",
    "all": "on nopass +@all ~* &*",
}
KEYS = ["app:1", "ro:1", "wo:1", "other"]
# What a script does is not checked on a node, so who may not do everything may run none: stricter than Redis.
SCRIPTS = {"eval", "evalsha", "eval_ro", "evalsha_ro", "fcall", "fcall_ro"}
# Redis looks at the first STORE only, and then stores at the last; a node looks at all.
SPECIAL = {
    "sort": [["K1"], ["K1", "STORE", "K2"], ["K1", "STORE", "app:1", "STORE", "K2"], ["K1", "LIMIT", "0", "1"]],
    "sort_ro": [["K1"], ["K1", "DESC"]],
    "set": [["K1", "v"], ["K1", "v", "GET"], ["K1", "v", "EX", "10", "get"]],
    "bitfield": [["K1", "GET", "u8", "0"], ["K1", "SET", "u8", "0", "1"], ["K1", "OVERFLOW", "SAT"]],
    "xread": [["COUNT", "1", "STREAMS", "K1", "K2", "0", "0"], ["STREAMS", "K1", "0"]],
    "xreadgroup": [["GROUP", "g", "c", "STREAMS", "K1", "K2", ">", ">"]],
    "georadius": [["K1", "1", "1", "1", "m"], ["K1", "1", "1", "1", "m", "STORE", "K2"]],
    "georadiusbymember": [["K1", "x", "1", "m", "STOREDIST", "K2"]],
    "migrate": [["h", "1", "K1", "0", "10"]],
    "copy": [["K1", "K2"], ["K1", "K2", "DB", "1"]],
    "memory|usage": [["K1"], ["K1", "SAMPLES", "5"]],
}
CHANNEL_COMMANDS = {"publish", "spublish", "subscribe", "ssubscribe", "psubscribe", "unsubscribe"}
# Not asked of the servers even where they are denied: a bypass would end the test's own servers.
NEVER_RUN = {"shutdown", "debug", "failover", "replicaof", "slaveof", "psync", "sync", "monitor", "quit", "reset",
             "auth", "hello"}
# MODULE LOAD is refused by Redis' protection before it asks who wants it, and there may be subcommands that a node has not:
# refused, too, in other words.


def fill(command, keys):
    """Lines for an entry of COMMAND: keys where its specifications have them."""
    name, arity, specs = command[0].decode(), command[1], command[8]
    head = name.split("|")
    if name in SPECIAL:
        for template in SPECIAL[name]:
            for first, second in itertools.product(keys, repeat=2) if "K2" in template else zip(keys, keys):
                yield head + [{"K1": first, "K2": second}.get(word, word) for word in template]
        return
    size = max(abs(arity), len(head))
    if name in CHANNEL_COMMANDS:
        for channel in ("app:1", "other", "app:*"):
            yield head + [channel] + ["x"] * max(0, size - 2)
        return
    for first, second in itertools.product(keys, repeat=2) if len(specs) > 1 or arity < -2 else zip(keys, keys):
        line = head + ["1"] * (size - len(head))
        for place, key in zip(specs, (first, second, second)):
            spec = dict(zip(place[::2], place[1::2]))
            begin = dict(zip(spec[b"begin_search"][::2], spec[b"begin_search"][1::2]))
            if begin[b"type"] != b"index":
                continue
            index = begin[b"spec"][1]
            find = dict(zip(spec[b"find_keys"][::2], spec[b"find_keys"][1::2]))
            if find[b"type"] == b"keynum":
                del line[index:]
                line += ["2", key, second] + ["1"] * 3
            elif index < len(line):
                line[index] = key
        yield line



@pytest.fixture(scope="module")
def servers(node_with_l2, module_stage):
    """A node, and a Redis that is its L2's equal, with the same users."""
    oracle = module_stage.redis()
    for server in (node_with_l2, oracle):
        with server.wire() as conn:
            for name, rules in RULES.items():
                assert conn.ask("ACL", "SETUSER", name, "reset", *rules.split(" ")) == b"OK"
    return node_with_l2, oracle


def ask_all(conn, lines, at_once=200):
    replies = []
    for begin in range(0, len(lines), at_once):
        replies += conn.pipeline(lines[begin:begin + at_once])
    return replies


def all_lines(oracle):
    with oracle.wire() as conn:
        commands = conn.ask("COMMAND")
    entries = [entry for command in commands for entry in (command[9] or [command])]
    containers = [command for command in commands if command[9]]
    lines = [line for entry in entries for line in fill(entry, KEYS)]
    lines += [[container[0].decode()] for container in containers]
    return list(map(list, dict.fromkeys(map(tuple, lines))))


def test_the_matrix_of_commands_and_users_has_no_bypass(servers):
    node, oracle = servers
    lines = all_lines(oracle)
    cells = wrong_dry = bypasses = denied = 0
    wrong = []
    with node.wire() as ours, oracle.wire() as theirs:
        for user in RULES:
            dry = [["ACL", "DRYRUN", user] + line for line in lines]
            for line, mine, other in zip(lines, ask_all(ours, dry), ask_all(theirs, dry)):
                cells += 1
                if mine != other and not (line[0] in SCRIPTS and user != "all" and mine != b"OK"):
                    wrong_dry += 1
                    wrong.append((user, line, mine, other))
    for user in RULES:
        with node.wire() as ours, oracle.wire() as theirs, oracle.wire() as judge:
            for conn in (ours, theirs):
                assert conn.ask("AUTH", user, "any") == b"OK"
            verdicts = ask_all(judge, [["ACL", "DRYRUN", user] + line for line in lines])
            refused = [line for line, verdict in zip(lines, verdicts)
                       if verdict != b"OK" and not isinstance(verdict, Error) and line[0] not in NEVER_RUN]
            for line, mine, other in zip(refused, ask_all(ours, refused), ask_all(theirs, refused)):
                denied += 1
                bypasses += not isinstance(mine, Error)
                if mine != other and not mine.startswith(b"ERR unknown subcommand") and line[0] != "module":
                    wrong.append((user, line, mine, other))
    print(f"\n{len(lines)} lines, {len(RULES)} users: {cells} cells of DRYRUN, {denied} denied lines executed, "
          f"{bypasses} bypasses")
    assert not bypasses and not wrong, "\n".join(map(str, wrong[:40])) + f"\n{len(wrong)} differences"
    assert cells > 5000 and denied > 2000


SAFE = """GET SET MGET DEL EXISTS TTL TYPE INCR APPEND LPUSH LRANGE SADD SMEMBERS HSET HGETALL ZADD ZRANGE XADD XLEN
OBJECT|ENCODING PING ECHO DBSIZE SETEX GETSET STRLEN RPUSH LLEN EXPIRE PERSIST""".split()


def test_what_is_allowed_runs(servers):
    """The same answers as Redis', for commands that do no harm."""
    node, oracle = servers
    args = {"SET": ["v"], "INCR": [], "APPEND": ["x"], "LPUSH": ["a"], "LRANGE": ["0", "-1"], "SADD": ["a"],
            "HSET": ["f", "v"], "ZADD": ["1", "m"], "ZRANGE": ["0", "-1"], "XADD": ["1-1", "f", "v"],
            "SETEX": ["100", "v"], "GETSET": ["v"], "RPUSH": ["a"], "EXPIRE": ["100"]}
    with node.wire() as ours, oracle.wire() as theirs:
        wrong = []
        for user in RULES:
            for conn in (ours, theirs):
                conn.ask("AUTH", "all", "any")
                conn.ask("DEL", *KEYS)
                assert conn.ask("AUTH", user, "any") == b"OK"
            for name, key in itertools.product(SAFE, KEYS):
                line = name.split("|") + ([] if name in ("PING", "DBSIZE") else [key]) + args.get(name, [])
                mine, other = ours.ask(*line), theirs.ask(*line)
                if mine != other and name != "DBSIZE":
                    wrong.append((user, line, mine, other))
        assert not wrong, "\n".join(map(str, wrong[:20]))


# --- the language of rules -------------------------------------------------------------------------------------------

TALK = """LIST|USERS|WHOAMI|GETUSER default|GETUSER nobody-here|SETUSER bob (+get|SETUSER bob on %RW|SETUSER bob %~a
SETUSER bob %R~|SETUSER bob ~|GETUSER bob|SETUSER x +foo_bar|SETUSER x (+@foo ~x)|SETUSER x +select_0|LIST
SETUSER x ~*|SETUSER x ~a|SETUSER x &*|SETUSER x &a|SETUSER x >pw|SETUSER x #zz|SETUSER x <nope|SETUSER x <pw|GETUSER x
SETUSER x reset|GETUSER x|SETUSER x +debug_|SETUSER x -debug_x|SETUSER x -config_get|SETUSER x +@all -config_get|LIST
SETUSER y on nopass (+get ~a) (+set %W~b)|LIST|GETUSER y|SETUSER y clearselectors|LIST|SETUSER y foo|DRYRUN y get
DRYRUN y nosuch|DRYRUN zz get x|DRYRUN y config|DRYRUN y config foo|DRYRUN y get x|GENPASS 0|GENPASS 1 2|GENPASS x
CAT x|CAT x y|CAT|LOG x|LOG reset|LOG|LOG a b|SAVE|LOAD|HELP|FOO|WHOAMI x|DELUSER default x|DELUSER x nope y|LIST
SETUSER z on allkeys allchannels +@all -@dangerous sanitize-payload|LIST|GETUSER z|DELUSER z bob""".replace("\n", "|")


def in_order(value):
    """Redis lists single commands in the order of a hash table."""
    if isinstance(value, list):
        return type(value)(map(in_order, value))
    return b" ".join(sorted(value.split(b" "))) if isinstance(value, bytes) and b"@all" in value else value


@pytest.mark.parametrize("proto", [2, 3])
def test_acl_talks_as_redis_does(node, module_stage, proto):
    oracle = module_stage.redis()
    with node.wire(proto) as ours, oracle.wire(proto) as theirs:
        for conn in (ours, theirs):
            for user in conn.ask("ACL", "USERS"):
                if user != b"default":
                    conn.ask("ACL", "DELUSER", user)
        for line in TALK.split("|"):
            words = ["ACL"] + line.replace("_", "|").split(" ")
            mine, other = ours.ask_raw(*words), theirs.ask_raw(*words)
            if mine != other:
                mine, other = ours.ask(*words), theirs.ask(*words)
                assert type(mine) is type(other) and in_order(mine) == in_order(other), words


def own_commands(node):
    with node.wire() as conn:
        return {bytes(name) for category in conn.ask("ACL", "CAT") for name in conn.ask("ACL", "CAT", category)
                if name.startswith(b"cache") or name == b"client|setinfo"}


def test_random_rules_are_described_as_redis_does(node_alone, module_stage):
    oracle = module_stage.redis()
    own, rng = own_commands(node_alone), random.Random(7)
    with node_alone.wire() as ours, oracle.wire() as theirs:
        categories = [bytes(name).decode() for name in theirs.ask("ACL", "CAT")]
        members = {}
        for category in categories:
            members[category] = {bytes(name) for name in theirs.ask("ACL", "CAT", category)}
            assert {bytes(name) for name in ours.ask("ACL", "CAT", category)} - own == members[category], category
        names = sorted(set().union(*members.values()))
        for _ in range(60):
            rules = []
            for _ in range(rng.randint(1, 7)):
                sign, kind = rng.choice("+-"), rng.random()
                rules.append(sign + ("@all" if kind < .15 else "@" + rng.choice(categories) if kind < .6
                                     else rng.choice(names).decode()))
            described = []
            for conn in (ours, theirs):
                assert conn.ask("ACL", "SETUSER", "random", *rules) == b"OK"
                words = conn.ask("ACL", "GETUSER", "random")[5].split(b" ")
                described.append(([word for word in words if b"@" in word],
                                  sorted(word for word in words if b"@" not in word and word[1:] not in own)))
            assert described[0] == described[1], rules


# --- connections -----------------------------------------------------------------------------------------------------

@pytest.fixture
def admin(node):
    with node.wire() as conn:
        yield conn
        conn.ask("ACL", "DELUSER", "alice", "bert")
        assert conn.ask("ACL", "LOG", "RESET") == b"OK"


def test_a_change_of_rules_counts_for_who_is_there(node, admin):
    """On both workers: a connection each, and no request of theirs in between."""
    assert admin.ask("ACL", "SETUSER", "alice", "on", ">pw", "~a*", "+@all") == b"OK"
    conns = [node.wire() for _ in range(6)]
    for conn in conns:
        assert conn.ask("AUTH", "alice", "pw") == b"OK" and conn.ask("ACL", "WHOAMI") == b"alice"
        assert conn.ask("SET", "a1", "x") == b"OK"
    assert admin.ask("ACL", "SETUSER", "alice", "-set") == b"OK"
    for conn in conns:
        assert conn.ask("SET", "a1", "x") == b"NOPERM this user has no permissions to run the 'set' command"
        assert conn.ask("GET", "a1") == b"x"
    assert admin.ask("ACL", "SETUSER", "alice", "off") == b"OK"  # who is in stays in
    assert all(conn.ask("GET", "a1") == b"x" for conn in conns)
    assert admin.ask("AUTH", "alice", "pw").startswith(b"WRONGPASS")
    assert admin.ask("ACL", "DELUSER", "alice") == 1
    assert all(conn.closes_within(15) for conn in conns)


def test_users_change_while_others_run(node, admin):
    """On two workers at once; what each is told is one of the rules' answers, and in the end the last rule's."""
    admin.ask("ACL", "SETUSER", "alice", "on", "nopass", "+@all", "~*")
    assert admin.ask("SET", "a", "1") == b"OK"
    said, stop = [set() for _ in range(4)], threading.Event()

    def run(seen):
        with node.wire() as conn:
            conn.ask("AUTH", "alice", "x")
            while not stop.is_set():
                seen.update(bytes(reply) for reply in conn.pipeline([["SET", "a", "1"], ["GET", "a"], ["PING"]] * 5))

    def change():
        with node.wire() as conn:
            while not stop.is_set():
                conn.pipeline([["ACL", "SETUSER", "bert", "on", "+get"], ["ACL", "DELUSER", "bert"]] * 20)

    threads = [threading.Thread(target=run, args=(seen,)) for seen in said]
    threads += [threading.Thread(target=change) for _ in range(2)]
    for thread in threads:
        thread.start()
    for i in range(40):
        assert admin.ask("ACL", "SETUSER", "alice", "+set" if i % 2 else "-set", f">pass{i}", f"<pass{i}", "nopass") == b"OK"
        assert admin.ask("ACL", "SETUSER", f"other{i % 7}", "on") == b"OK"
        admin.ask("ACL", "DELUSER", f"other{i % 5}")
        assert len(admin.ask("ACL", "LIST")) >= 2
    denied = b"NOPERM this user has no permissions to run the 'set' command"
    admin.ask("ACL", "SETUSER", "alice", "-set")
    until(lambda: all(denied in seen for seen in said), 20, "everybody is denied")
    stop.set()
    for thread in threads:
        thread.join()
    admin.ask("ACL", "DELUSER", *(f"other{i}" for i in range(7)))
    assert set().union(*said) == {b"OK", b"PONG", b"1", denied}


def test_who_deletes_himself_is_answered_first(node, admin):
    assert admin.ask("ACL", "SETUSER", "alice", "on", "nopass", "+@all", "~*") == b"OK"
    with node.wire() as conn:
        assert conn.ask("AUTH", "alice", "x") == b"OK"
        assert conn.pipeline([["ACL", "DELUSER", "alice"]]) == [1]
        assert conn.closes_within(15)


def test_client_list_and_kill_know_users(node, admin):
    assert admin.ask("ACL", "SETUSER", "alice", "on", "nopass", "+@all", "~*") == b"OK"
    with node.wire() as conn, node.wire() as other:
        assert conn.ask("AUTH", "alice", "x") == b"OK"
        assert b" user=alice " in conn.ask("CLIENT", "INFO") and b" user=default " in other.ask("CLIENT", "INFO")
        assert admin.ask("CLIENT", "KILL", "USER", "nosuch") == b"ERR No such user 'nosuch'"
        assert admin.ask("CLIENT", "KILL", "USER", "alice") == 1
        assert conn.closes_within(15) and other.ask("PING") == b"PONG"


def test_hello_logs_in_and_reset_logs_out(node, admin):
    assert admin.ask("ACL", "SETUSER", "alice", "on", ">pw", "+get", "+acl|whoami", "~*") == b"OK"
    with node.wire() as conn:
        assert conn.ask("HELLO", "3", "AUTH", "alice", "no").startswith(b"WRONGPASS")
        assert isinstance(conn.ask("HELLO", "3", "AUTH", "alice", "pw"), Map)
        assert conn.ask("ACL", "WHOAMI") == b"alice"
        assert conn.ask("SET", "k", "v") == b"NOPERM this user has no permissions to run the 'set' command"
        assert conn.ask("RESET") == b"RESET"
        assert conn.ask("ACL", "WHOAMI") == b"default"


def test_requirepass_is_the_password_of_the_default_user(stage):
    node = stage.node("--requirepass", "first")
    digest = {word: hashlib.sha256(word.encode()).hexdigest().encode() for word in ("first", "second", "third")}
    with node.wire() as conn:
        assert conn.ask("GET", "k") == b"NOAUTH Authentication required."
        assert conn.ask("AUTH", "first") == b"OK"
        assert conn.ask("ACL", "GETUSER", "default")[3] == [digest["first"]]
        assert conn.ask("CONFIG", "SET", "requirepass", "second") == b"OK"
        assert conn.ask("ACL", "GETUSER", "default")[3] == [digest["second"]]
        assert conn.ask("ACL", "SETUSER", "default", "resetpass", ">third") == b"OK"
        assert conn.ask("CONFIG", "SET", "maxclients", "500") == b"OK"  # changes no password
        with node.wire() as other:
            assert other.ask("AUTH", "second").startswith(b"WRONGPASS")
            assert other.ask("AUTH", "third") == b"OK"
        assert conn.ask("CONFIG", "SET", "requirepass", "") == b"OK"
        with node.wire() as other:
            assert other.ask("PING") == b"PONG"
            assert other.ask("AUTH", "x").startswith(b"ERR AUTH <password> called without any password")


# --- what is written down --------------------------------------------------------------------------------------------

def entries(conn):
    return [dict(zip(entry[::2], entry[1::2])) for entry in conn.ask("ACL", "LOG")]


def test_refusals_are_logged_as_redis_logs_them(node, admin, module_stage):
    oracle = module_stage.redis()
    with oracle.wire() as theirs, node.wire() as alice, oracle.wire() as alices_twin:
        for conn, client in ((admin, alice), (theirs, alices_twin)):
            conn.ask("ACL", "LOG", "RESET")
            assert conn.ask("ACL", "SETUSER", "alice", "on", ">pw", "+@all", "-set", "~a", "&c") == b"OK"
            assert client.ask("auth", "alice", "bad").startswith(b"WRONGPASS")
            assert client.ask("AUTH", "alice", "pw") == b"OK"
            for line in (["SET", "a", "1"], ["GET", "b"], ["GET", "b"], ["MGET", "a", "zz"],
                         ["CONFIG", "GET", "x"]):
                client.ask(*line)
        ours, others = entries(admin), entries(theirs)
        for entry in ours + others:
            assert float(entry.pop(b"age-seconds")) < 60 and b"user=" in entry.pop(b"client-info")
        assert ours == others and [entry[b"reason"] for entry in ours] == [b"key", b"key", b"command", b"auth"]
        assert admin.ask("CONFIG", "SET", "acllog-max-len", "2") == b"OK"
        assert alice.ask("GET", "c").startswith(b"NOPERM") and len(entries(admin)) == 2
        assert admin.ask("CONFIG", "SET", "acllog-max-len", "128") == b"OK"


def test_the_log_names_who_was_refused_and_who_changed_what_but_no_password(stage):
    node = stage.node()
    with node.wire() as admin, node.wire() as conn:
        assert admin.ask("ACL", "SETUSER", "alice", "on", ">deep-secret", "+get", "~a") == b"OK"
        assert conn.ask("AUTH", "alice", "wrong-secret").startswith(b"WRONGPASS")
        assert conn.ask("AUTH", "alice", "deep-secret") == b"OK"
        assert conn.ask("GET", "b").startswith(b"NOPERM")
        assert admin.ask("CONFIG", "SET", "requirepass", "third-secret") == b"OK"
        assert admin.ask("FLUSHALL") == b"OK"
    log = node.process.log()
    assert "acl|setuser user=default" in log and "object=alice" in log
    assert "reason=auth user=alice" in log and "reason=key user=alice" in log
    assert "config|set user=default" in log and "object=requirepass" in log and "flushall user=default" in log
    assert "secret" not in log
    fields = node.admin("/metrics")[1]
    assert 'terrace_acl_denied_total{reason="auth"}' in fields


def test_what_was_queued_is_asked_again_at_exec(node, admin, module_stage):
    oracle = module_stage.redis()
    with oracle.wire() as theirs, node.wire() as alice, oracle.wire() as alices_twin:
        replies = []
        for conn, client in ((admin, alice), (theirs, alices_twin)):
            assert conn.ask("ACL", "SETUSER", "alice", "reset", "on", "nopass", "+@all", "~*", "&*") == b"OK"
            conn.ask("DEL", "k", "n")
            said = [client.ask(*words) for words in (
                ["AUTH", "alice", "x"], ["MULTI"], ["SET", "k", "v"], ["GET", "k"], ["INCR", "n"], ["PING"],
                ["PUBLISH", "c", "m"])]
            assert conn.ask("ACL", "SETUSER", "alice", "-set", "-ping", "resetkeys", "~k", "resetchannels") == b"OK"
            said.append(client.ask("EXEC"))
            said += [client.ask(*words) for words in (
                ["MULTI"], ["SET", "k", "1"], ["GET", "k"], ["EXEC"], ["MULTI"], ["GET", "k"])]
            assert conn.ask("ACL", "SETUSER", "alice", "resetkeys") == b"OK"
            said += [client.ask("EXEC"), conn.ask("GET", "k"), conn.ask("GET", "n")]
            assert conn.ask("ACL", "SETUSER", "alice", "-exec") == b"OK"
            said += [client.ask("MULTI"), client.ask("EXEC"), client.ask("MULTI")]
            log = [(entry[b"reason"], entry[b"context"], entry[b"object"]) for entry in entries(conn)]
            replies.append((said, sorted(log)))
        assert replies[0] == replies[1]


def test_sort_that_was_queued_may_not_read_what_it_may_no_longer(node_with_l2, module_stage):
    oracle = module_stage.redis()
    replies = []
    for server in (node_with_l2, oracle):
        with server.wire() as conn, server.wire() as client:
            assert conn.ask("ACL", "SETUSER", "alice", "reset", "on", "nopass", "+@all", "~*") == b"OK"
            conn.pipeline([["DEL", "app:l"], ["RPUSH", "app:l", "1"], ["SET", "secret:1", "gold"]])
            said = [client.ask(*words) for words in (
                ["AUTH", "alice", "x"], ["MULTI"], ["SORT", "app:l", "BY", "nosort", "GET", "secret:*"],
                ["SORT_RO", "app:l", "BY", "secret:*"], ["SORT", "app:l"], ["SORT", "secret:1", "GET", "#"])]
            assert conn.ask("ACL", "SETUSER", "alice", "resetkeys", "~app:*") == b"OK"
            said += [client.ask(*words) for words in (
                ["EXEC"], ["SORT", "app:l", "GET", "secret:*"], ["MULTI"], ["SORT", "app:l", "GET", "secret:*"],
                ["SORT_RO", "app:l", "BY", "nosort"], ["EXEC"])]
            assert conn.ask("ACL", "DELUSER", "alice") == 1
            replies.append(said)
    assert replies[0] == replies[1]


def test_the_log_keeps_of_each_word_only_its_beginning(node, admin):
    assert admin.ask("ACL", "SETUSER", "alice", "reset", "on", "nopass", "+@all", "~app:*") == b"OK"
    with node.wire() as alice:
        alice.ask("AUTH", "alice", "x")
        for size in (4096, 5000, 1 << 20):
            assert isinstance(alice.ask("GET", b"k" * size), Error)
        assert isinstance(alice.ask("AUTH", b"u" * (1 << 20), "x"), Error)
    kept = [(entry[b"count"], len(entry[b"object"]), len(entry[b"username"])) for entry in entries(admin)]
    assert kept == [(1, 4, 4096), (3, 4096, 5)]


# --- the file --------------------------------------------------------------------------------------------------------

def test_users_are_loaded_and_saved(stage):
    path = stage.folder / "users.acl"
    path.write_text("user alice on >pw ~a* +@all\nuser default on nopass ~* &* +@all\n")
    node = stage.node("--aclfile", str(path))
    with node.wire() as admin, node.wire() as alice:
        assert alice.ask("AUTH", "alice", "pw") == b"OK"
        path.write_text("user bert on nopass\nuser bert off\nuser carl +nosuch\n")
        assert admin.ask("ACL", "LOAD") == (
            f"ERR WARNING: Duplicate user 'bert' found on line 2. {path}:3: Error in applying operation '+nosuch': "
            "Unknown command or category name in ACL. WARNING: ACL errors detected, no change to the previously active "
            "ACL rules was performed").encode()
        assert alice.ask("GET", "a") is not None and admin.ask("ACL", "USERS") == [b"alice", b"default"]
        assert admin.ask("ACL", "SETUSER", "dora", "on", "nopass", "+get", "~x") == b"OK"
        assert admin.ask("ACL", "SAVE") == b"OK"
        lines = path.read_text().splitlines()
        assert [line.split()[1] for line in lines] == ["alice", "default", "dora"]
        assert hashlib.sha256(b"pw").hexdigest() in lines[0] and list(stage.folder.glob("users.acl.*")) == []
        assert admin.ask("ACL", "LOAD") == b"OK"
        assert alice.closes_within(15)  # as Redis: loaded anew, he is another
        assert admin.ask("ACL", "LIST") == [line.encode() for line in lines]
        path.write_text("user default off +@all\n")
        assert admin.ask("ACL", "LOAD") == b"OK" and admin.ask("ACL", "USERS") == [b"default"]
        with node.wire() as late:
            assert late.ask("PING") == b"NOAUTH Authentication required."


def test_a_node_with_a_bad_file_of_users_does_not_start(stage):
    path = stage.folder / "users.acl"
    path.write_text("user alice on +json.get\nuser bert +@all -flushal\n")
    for l2 in (None, stage.redis()):
        node = stage.node_not_started("--aclfile", str(path), l2=l2)
        node.launch()
        until(lambda node=node: not node.process.alive(), 5, "the node gives up")
        assert f"{path}:2: Error in applying operation '-flushal'" in node.process.log()
        assert ("json.get" in node.process.log()) == (l2 is None)  # which a module of Redis may have


# --- channels and names ----------------------------------------------------------------------------------------------

def test_who_may_not_listen_any_more_is_closed(node):
    with node.wire() as admin:
        assert admin.ask("ACL", "SETUSER", "ears", "reset", "on", "nopass", "+@all", "&a.*", "&b") == b"OK"
        conns = {}
        for words in (["SUBSCRIBE", "a.1"], ["SUBSCRIBE", "b"], ["PSUBSCRIBE", "a.*"]):
            conns[words[1]] = node.wire()
            assert conns[words[1]].ask("AUTH", "ears", "x") == b"OK"
            assert conns[words[1]].ask("SUBSCRIBE", "other").startswith(b"NOPERM")
            assert conns[words[1]].ask(*words)[2] == 1
        assert admin.ask("ACL", "SETUSER", "ears", "resetchannels", "&a.?") == b"OK"
        assert conns["b"].closes_within(15) and conns["a.*"].closes_within(15)
        assert admin.ask("PUBLISH", "a.1", "still here") == 1
        assert conns["a.1"].read()[2] == b"still here"


def test_commands_go_by_another_name_or_none(stage):
    redis_server = stage.redis()
    names = "FLUSHALL '', LPUSH push-left, CONFIG my-config, SET put"
    for l2 in (None, redis_server):
        node = stage.node("--rename-command", names, l2=l2)
        with node.wire() as conn:
            assert conn.ask("FLUSHALL") == b"ERR unknown command 'FLUSHALL', with args beginning with: "
            assert conn.ask("config", "get", "x").startswith(b"ERR unknown command 'config'")
            assert conn.ask("My-Config", "GET", "maxclients") == [b"maxclients", b"10000"]
            assert conn.ask("set", "k", "v").startswith(b"ERR unknown command") and conn.ask("PUT", "k", "v") == b"OK"
            assert conn.ask("GET", "k") == b"v"
            assert conn.ask("LPUSH", "l", "x").startswith(b"ERR unknown command")
            assert l2 is None or (conn.ask("push-left", "l", "x") == 1 and redis_server.client().llen("l") == 1)
            assert conn.ask("ACL", "SETUSER", "u", "on", "nopass", "+set", "~k") == b"OK"  # rules know the old names
            assert conn.ask("AUTH", "u", "x") == b"OK" and conn.ask("PUT", "k", "w") == b"OK"
            assert conn.ask("GET", "k") == b"NOPERM this user has no permissions to run the 'get' command"


@pytest.mark.parametrize("names,reason", [
    ("NOSUCH x", "No such command in rename-command"), ("GET set", "Target command name already exists"),
    ("GET", "argument must be pairs of NAME NEWNAME"), ("GET a, get b", "argument names a command twice")])
def test_names_that_cannot_be_are_refused_at_start(stage, names, reason):
    node = stage.node_not_started("--rename-command", names)
    node.launch()
    until(lambda: not node.process.alive(), 5, "the node gives up")
    assert f"flag --rename-command: {reason}" in node.process.log()


# --- scripts ---------------------------------------------------------------------------------------------------------

def test_scripts_are_for_who_may_do_everything(node_with_l2):
    """What a script runs on L2 nobody checks: `acl-scripts yes` says that users are trusted with that."""
    with node_with_l2.wire() as admin, node_with_l2.wire() as conn:
        admin.ask("ACL", "SETUSER", "scripter", "reset", "on", "nopass", "+@all", "~mine:*", "&*")
        assert conn.ask("AUTH", "scripter", "x") == b"OK"
        line = ["EVAL", "return redis.call('set', 'stolen', 1)", "1", "mine:1"]
        assert conn.ask(*line).startswith(b"NOPERM") and admin.ask("EXISTS", "stolen") == 0
        assert admin.ask("CONFIG", "SET", "acl-scripts", "yes") == b"OK"
        assert conn.ask("EVAL", "return redis.call('set', KEYS[1], 1)", "1", "mine:1") == b"OK"
        assert conn.ask("EVAL", "return 1", "1", "not-mine").startswith(b"NOPERM")
        assert admin.ask("CONFIG", "SET", "acl-scripts", "no") == b"OK"
        assert conn.ask("SORT", "mine:1", "BY", "w_*") == \
            b"ERR BY option of SORT denied due to insufficient ACL permissions."
        assert conn.ask("SORT", "mine:1", "GET", "stolen_*") == \
            b"ERR GET option of SORT denied due to insufficient ACL permissions."


# --- scripts that are known by heart -------------------------------------------------------------------------------------

def scripter(admin, *rules):
    """A user with all rights to mine:* but for what the rules take away."""
    assert admin.ask("ACL", "SETUSER", "scripter", "reset", "on", ">p", "+@all", "&*", *(rules or ("~mine:*",))) == b"OK"


@pytest.mark.own
def test_known_scripts_run_with_the_rights_of_their_user(node):
    """Each with a user who may do all that it calls, and with one who may not, command by command; by text and by SHA1."""
    with node.wire() as admin, node.wire() as conn:
        scripter(admin)
        assert conn.ask("AUTH", "scripter", "p") == b"OK"
        for name, text in KNOWN.items():
            args = ["token", "300000", "1"] if "ARGV[3]" in text or "== ARGV[1]" in text else ["300000"] * 2
            admin.pipeline([["DEL", "mine:k", "other"], ["SET", "mine:k", args[0]], ["SET", "other", args[0]]])
            sha = conn.ask("SCRIPT", "LOAD", text)
            for line in ["EVAL", text], ["EVALSHA", sha], ["EVALSHA", sha.upper()]:
                got, want = conn.ask(*line, "1", "mine:k", *args), admin.ask(*line, "1", "other", *args)
                assert got == want or got[0] == want[0] and abs(got[1] - want[1]) < 2000, (name, got, want)
                assert admin.ask("GET", "mine:k") == admin.ask("GET", "other"), name
                assert conn.ask(*line, "1", "other", *args).startswith(b"NOPERM"), name
            for command in set(re.findall(r"redis.call\(['\"](\w+)", text)):
                admin.ask("SET", "mine:k", args[0])
                scripter(admin, "~mine:*", "-" + command.lower())
                for line in ["EVAL", text], ["EVALSHA", sha]:
                    assert conn.ask(*line, "1", "mine:k", *args).startswith(b"NOPERM"), (name, command)
                assert admin.ask("GET", "mine:k") == args[0].encode()
            for rule in "%R~mine:*", "%W~mine:*":
                scripter(admin, rule)
                assert conn.ask("EVAL", text, "1", "mine:k", *args).startswith(b"NOPERM"), (name, rule)
            scripter(admin)


@pytest.mark.own
def test_what_runs_for_a_user_is_what_was_checked(node):
    """Comments that end where Lua says and not where the node thinks, keys that are none, blocks, rules that change."""
    lock = KNOWN["lock"]
    with node.wire() as admin, node.wire() as conn:
        scripter(admin)
        conn.ask("AUTH", "scripter", "p")
        admin.pipeline([["DEL", "stolen"], ["SET", "mine:k", "token"]])
        theft = "redis.call('set','stolen','1')"
        for text in "--" + theft + "\n" + lock, lock + "--" + theft:
            assert conn.ask("EVAL", text, "1", "mine:k", "x") == 0, text
            assert conn.pipeline([["MULTI"], ["EVAL", text, "1", "mine:k", "x"], ["EXEC"]])[2] == [0]
        for text in "-- \r" + theft + "\n" + lock, lock + "--\r" + theft, lock + theft, theft + lock, "--[[ ]] " + lock, lock + " ", "#!lua\n" + lock:
            answer = conn.ask("EVAL", text, "1", "mine:k", "x")
            assert answer == 0 or answer.startswith((b"NOPERM", b"ERR this node has no L2")), text
        for keys in (["0"], ["-1"], ["x"], ["2", "mine:k", "other"], ["2", "other", "mine:k"], ["1"]):
            assert isinstance(conn.ask("EVAL", lock, *keys, "token"), Error), keys
        assert conn.pipeline([["MULTI"], ["EVAL", lock, "1", "mine:k", "x"], ["PING"]])[1] == b"QUEUED"
        scripter(admin, "~mine:*", "-del")
        assert conn.ask("EXEC")[0].startswith(b"NOPERM ACLs rules changed")
        scripter(admin, "~mine:*", "-evalsha")
        assert conn.ask("EVALSHA", "0" * 40, "1", "mine:k", "x") == \
            b"NOPERM this user has no permissions to run the 'evalsha' command"
        scripter(admin)
        assert conn.ask("EVALSHA", "0" * 40, "1", "mine:k", "x").startswith(b"NOSCRIPT ")
        assert admin.ask("EXISTS", "stolen") == 0 and admin.ask("GET", "mine:k") == b"token"
    lock = redis.Redis(port=node.port, username="scripter", password="p").lock("mine:lock", timeout=20)
    assert lock.acquire() and lock.extend(10) and lock.owned() and lock.release() is None
