# SPDX-License-Identifier: BSD-3-Clause
"""Commands of modules that Redis loads while the node runs (module.c): what they answer, the keys that they name in any
way or not at all, those that wait, and modules that go or come back as others."""

import pytest

import wire
from harness import ROOT, log_lines, serves_hits, until
from proxy import FaultProxy

pytestmark = pytest.mark.own
MODULE = ROOT / "build" / "release" / "tests" / "journeys" / "module.so"
BUS_LATE_MS = 100


def ask(redis_server, *words):
    with redis_server.wire() as conn:
        assert conn.ask(*words) == b"OK"


def load(redis_server, *arguments):
    ask(redis_server, "MODULE", "LOAD", str(MODULE), *arguments)


def unload(redis_server):
    ask(redis_server, "MODULE", "UNLOAD", "ours")


def knows(node):
    with node.wire() as conn:
        return not isinstance(conn.ask("OURS.SHAPE", "true"), wire.Error)


@pytest.fixture(scope="module")
def rig(module_stage):
    """(Redis, a node of one worker, the proxy between them): the module is loaded when both run."""
    redis_server = module_stage.redis("--enable-module-command", "yes")
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = module_stage.node("--threads", "1", l2=proxy.url)
        with node.wire() as conn:
            assert conn.ask("OURS.WRITE", "k", "v") == b"ERR unknown command 'OURS.WRITE', with args beginning with: 'k' 'v' "
        load(redis_server)
        until(lambda: knows(node), 5, "the node has learned the commands of the module")
        yield redis_server, node, proxy
        node.end()


@pytest.fixture
def redis_server(rig):
    return rig[0]


@pytest.fixture
def node(rig):
    return rig[1]


@pytest.fixture
def late_bus(rig):
    rig[2].delay(BUS_LATE_MS, "down", who="bus")
    yield
    rig[2].heal()


@pytest.fixture
def conn(node):
    with node.wire() as one:
        yield one


SHAPES = ["map", "set", "attribute", "array", "big", "verbatim", "double", "true", "null", "none"]
CALLS = [
    *(["OURS.SHAPE", shape] for shape in SHAPES), *(["ours.box", "shape", shape] for shape in SHAPES[:3]),
    ["OURS.WRITE", "k", "v"], ["OURS.WRITE", "k"], ["OURS.ELSEWHERE", "k", "v", "l"], ["OURS.SHOW", "k", "l"],
    ["OURS.EACH", "v", "KEY", "a", "KEY", "b"], ["OURS.EACH", "v"], ["OURS.BOX", "PUT", "k", "v"], ["OURS.BOX", "NOSUCH"],
    ["OURS.BOX"], ["OURS.BOX", "PUT"], ["OURS.WAIT", "k", "10"], ["OURS.WAIT", "k", "x"], ["OURS.LINGER", "k", "10"],
    ["MULTI"], ["OURS.EACH", "w", "KEY", "a", "KEY", "b"], ["OURS.SHAPE", "map"], ["OURS.BOX", "PUT", "k", "w"], ["GET", "k"],
    ["EXEC"], ["MULTI"], ["OURS.BOX", "NOSUCH"], ["EXEC"], ["GET", "a"], ["GET", "b"],
    ["COMMAND", "GETKEYS", "OURS.EACH", "v", "KEY", "a", "KEY", "b"], ["COMMAND", "INFO", "ours.write", "ours.box|put"],
    ["COMMAND", "LIST", "FILTERBY", "MODULE", "none"], ["MODULE", "LIST"], ["ACL", "DRYRUN", "default", "ours.write", "k", "v"],
]


@pytest.mark.parametrize("proto", [2, 3])
def test_they_are_answered_as_by_redis(node, redis_server, proto):
    with node.wire(proto=proto) as ours, redis_server.wire(proto=proto) as theirs:
        for words in CALLS:
            assert ours.ask_raw(*words) == theirs.ask_raw(*words), words


WRITES = {
    "a key that it names": ["OURS.WRITE", "hot", "new"],
    "a key that it does not name": ["OURS.ELSEWHERE", "k", "new", "hot"],
    "keys that it tells when it is asked": ["OURS.EACH", "new", "KEY", "cold", "KEY", "hot"],
    "a key of a subcommand": ["OURS.BOX", "PUT", "hot", "new"],
}


@pytest.mark.parametrize("how", WRITES)
def test_what_they_write_is_read_once_they_are_answered(node, conn, late_bus, how):
    """Though Redis' announcement is still under way."""
    with node.wire() as other:
        for block in False, True:
            conn.ask("SET", "hot", "old")
            until(lambda: serves_hits(node, conn, "hot"), 5)
            if block:
                assert conn.pipeline([["MULTI"], WRITES[how], ["EXEC"]])[1] == b"QUEUED"
            else:
                assert not isinstance(conn.ask(*WRITES[how]), wire.Error)
            assert conn.ask("GET", "hot") == other.ask("GET", "hot") == b"new"


def test_a_session_does_not_go_back_behind_what_they_show(node, redis_server, conn, late_bus):
    conn.ask("SET", "hot", "old")
    until(lambda: serves_hits(node, conn, "hot"), 5)
    with redis_server.wire() as stranger:
        stranger.ask("SET", "hot", "new")
        assert conn.ask("OURS.SHOW", "k", "hot") == conn.ask("GET", "hot") == b"new"


def test_one_that_says_that_it_waits_holds_up_nobody(node, conn):
    with node.wire() as other:
        conn.send(wire.encode(["OURS.WAIT", "k", "300"]))
        until(lambda: node.info("clients")["blocked_clients"] == "1")
        assert other.pipeline([["SET", "k", "v"], ["GET", "k"]]) == [b"OK", b"v"]
        assert node.info("clients")["blocked_clients"] == "1" and conn.read() == b"WAITED"


def test_one_that_does_not_say_so_is_found_out(node, redis_server, conn):
    """Once it is interrupted; from then on it waits as the others do. What answers by itself is left alone."""
    node.client().config_set("l2-timeout", "1s")
    with node.wire() as other:
        conn.send(wire.encode(["OURS.LINGER", "k", "60000"]))
        until(lambda: redis_server.client().info("clients")["blocked_clients"] == 1, 5, "the link waits in Redis")
        assert other.pipeline([["SET", "k", "v"], ["GET", "k"]]) == [b"OK", b"v"]
        assert conn.read().startswith(b"UNBLOCKED ")
        conn.send(wire.encode(["OURS.LINGER", "k", "300"]))
        until(lambda: node.info("clients")["blocked_clients"] == "1")
        assert other.pipeline([["SET", "k", "w"], ["GET", "k"]]) == [b"OK", b"w"]
        assert node.info("clients")["blocked_clients"] == "1" and conn.read() == b"WAITED"
    node.client().config_set("l2-timeout", "2s")
    assert len(log_lines(node, "l2_waits")) == 1


# --- last, since they take the module away ------------------------------------------------------------------------------

def test_modules_go_and_come_back_as_others(node, redis_server, conn):
    client = node.client()
    client.execute_command("ACL SETUSER", "some", "on", ">secret", "~mine:*", "+@all")
    unload(redis_server)
    assert conn.ask("OURS.WRITE", "k", "v").startswith(b"ERR unknown command")
    load(redis_server, "2")
    conn.ask("AUTH", "some", "secret")
    until(lambda: conn.ask("OURS.WRITE", "mine:k", "v").startswith(b"NOPERM"), 5, "the key is the second word now")
    assert conn.ask("OURS.WRITE", "v", "mine:k") == b"OK"
    assert conn.ask("OURS.BOX", "PUT", "other:k", "v").startswith(b"NOPERM"), "the key of a subcommand"
    assert conn.ask("OURS.BOX", "PUT", "mine:k", "v") == b"OK"
    assert conn.ask("GET", "mine:k") == b"v"
    unload(redis_server)
    until(lambda: conn.ask("OURS.WRITE", "v", "other:k").startswith(b"ERR unknown command"), 5, "it is no command any more")
