# SPDX-License-Identifier: BSD-3-Clause
"""One session never goes back, whatever is pipelined: the moments that a history (test_history.py) meets by chance, made
on purpose.

The proxy between the node and Redis holds single connections, so that a question of one session stays on its way while
others overtake it. The node has one worker, which has two links: RESP2 clients ask on one and RESP3 clients on the other.
The bound is long, so that nothing here is decided by it.
"""

import pytest

import wire
from harness import until
from proxy import FaultProxy

pytestmark = pytest.mark.own


@pytest.fixture
def rig(stage):
    """(node, proxy, the session under test, another client, a stranger)"""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        node = stage.node("--threads", "1", "--mode", "bounded 20s", "--l2-timeout", "10s", l2=proxy.url)
        with node.wire() as session, node.wire(proto=3) as other, redis_server.wire() as stranger:
            for conn in (session, other):  # both links are there
                conn.ask("SET", "first", "x")
            yield node, proxy, session, other, stranger
        proxy.heal()
        proxy.release("both")
        stage.end()


def executed(other):
    """What another connection sent before was executed: there is one worker, and it has polled since."""
    other.ask("PING")
    other.ask("PING")


def question_on_its_way(rig, words, key):
    """`words` of the session is held in front of Redis; then somebody writes `key`, which ends its token."""
    node, proxy, session, _, stranger = rig
    proxy.hold("up", key.encode() + b"\r\n")
    session.send(wire.encode(words))
    until(lambda: proxy.holds("up"), 5, "the question is on its way")
    before = int(node.info("coherence")["announced_keys"])
    stranger.ask("SET", key, "old")
    until(lambda: int(node.info("coherence")["announced_keys"]) > before, 5, "the write is announced")


def entry_that_is_behind(rig, key):
    """L1 holds "old", Redis has "newer", and the announcement does not arrive."""
    _, proxy, _, other, stranger = rig
    assert other.ask("GET", key) == b"old"
    proxy.hold("down", key.encode() + b"\r\n")
    stranger.ask("SET", key, "newer")
    until(lambda: proxy.holds("down"), 5, "the announcement is on its way")
    assert other.ask("GET", key) == b"old", "the entry is in L1, or this test tests nothing"


READS = [["GET", "k"], ["MGET", "x", "k"], ["STRLEN", "k"], ["GETRANGE", "k", "0", "-1"], ["BITCOUNT", "k"]]


@pytest.mark.parametrize("words", READS, ids=[words[0] for words in READS])
def test_a_read_behind_a_slow_one_of_the_same_key_does_not_go_back(rig, words):
    _, proxy, session, other, _ = rig
    question_on_its_way(rig, words, "k")
    entry_that_is_behind(rig, "k")
    session.send(wire.encode(["GET", "k"]))
    executed(other)
    proxy.release("up")
    session.read()  # of the value "newer": Redis has no other
    assert session.read() == b"newer", "the session went back"


FOLLOWERS = [(["MGET", "x", "k"], [wire.NULL_BULK, b"newer"]), (["STRLEN", "k"], 5),
             (["GETRANGE", "k", "0", "-1"], b"newer")]


@pytest.mark.parametrize("words, reply", FOLLOWERS, ids=[words[0] for words, _ in FOLLOWERS])
def test_any_read_behind_a_slow_get_of_its_key_follows_it(rig, words, reply):
    _, proxy, session, other, _ = rig
    question_on_its_way(rig, ["GET", "k"], "k")
    entry_that_is_behind(rig, "k")
    session.send(wire.encode(words))
    executed(other)
    proxy.release("up")
    assert session.read() == b"newer"
    assert session.read() == reply


def test_a_read_behind_a_slow_write_of_its_key_sees_it(rig):
    _, proxy, session, other, stranger = rig
    stranger.ask("SET", "k", "old")
    proxy.hold("up", b"mine\r\n")
    session.send(wire.encode(["SET", "k", "mine"]))
    until(lambda: proxy.holds("up"), 5, "the write is on its way")
    assert other.ask("GET", "k") == other.ask("GET", "k") == b"old"  # on another link: it is in L1 now
    session.send(wire.encode(["GET", "k"]))
    executed(other)
    proxy.release("up")
    assert session.read() == b"OK"
    assert session.read() == b"mine", "the session does not see its own write"


def test_reads_of_other_keys_do_not_wait_for_a_slow_one(rig):
    _, proxy, session, other, _ = rig
    assert other.ask("SET", "quick", "v") == b"OK"

    def hits():
        return int(rig[0].info("l1")["l1_hits"])

    def is_hit():
        before = hits()
        return other.ask("GET", "quick") == b"v" and hits() > before

    until(is_hit, 5, "it is in L1, and its announcement went by")
    question_on_its_way(rig, ["GET", "k"], "k")
    before = hits()
    session.send(wire.encode(["GET", "quick"]))
    until(lambda: hits() > before, 5, "the hit is served behind the slow read")
    proxy.release("up")
    assert [session.read(), session.read()] == [b"old", b"v"]
