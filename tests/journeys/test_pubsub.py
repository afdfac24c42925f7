# SPDX-License-Identifier: BSD-3-Clause
"""Pub/Sub: on a node alone and through L2, what clients are told is what redis-server would have told them."""

import os
import random
import threading

import pytest
import redis

import wire
from harness import until, vm_rss_bytes

SEED = int(os.environ.get("JOURNEY_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 40)
MB = 1 << 20


@pytest.fixture(scope="module")
def oracle(module_stage):
    """A redis-server of its own: what L2 is told would be heard twice."""
    return module_stage.redis()


@pytest.fixture(scope="module")
def node(node_alone):
    return node_alone


def read_until(conn, mark):
    """The bytes up to the reply that ends with `mark`, which is part of no other."""
    came = []
    while not came or mark not in came[-1]:
        came.append(conn.read_raw()[0])
    return came


class Band:
    """Some connections to one server, each with all that it was told."""

    def __init__(self, server, count):
        self.conns = [server.wire() for _ in range(count)]
        self.told = [[] for _ in range(count)]
        self.steps = 0

    def step(self, at, commands):
        """Sends all in one write, and waits until the last is answered."""
        self.steps += 1
        mark = b"step-%d-of-%d" % (self.steps, at)
        conn = self.conns[at]
        conn.send(b"".join(wire.encode(command) for command in [*commands, ["PING", mark]]))
        self.told[at] += read_until(conn, mark)

    def end(self):
        """What is still under way comes before an answer to who is asked last."""
        for at in range(len(self.conns)):
            self.step(at, [])
        for conn in self.conns:
            conn.close()
        return self.told


def split(told):
    """(pushes, replies): what orders them in RESP3 is when L2 answers on which connection."""
    return ([part for part in told if part[:1] == b">"], [part for part in told if part[:1] != b">"])


# --- byte for byte ------------------------------------------------------------------------------------------------------

CONVERSATIONS = [
    ["CLIENT REPLY OFF", "SUBSCRIBE a", "PUBLISH a x", "GET x", "UNSUBSCRIBE", "GET x", "CLIENT REPLY ON"],
    ["CLIENT REPLY SKIP", "SUBSCRIBE a", "GET x"],
    ["SUBSCRIBE a", "GET x", "get", "client list type nosuch", "nosuch command", "pubsub numpat", "PUBLISH a x", "ECHO a", "HELLO 9",
     "PING", "PING hi", "PING x y", "RESET", "GET x", "PING"],
    ["UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "UNSUBSCRIBE x y", "SUBSCRIBE a a b", "UNSUBSCRIBE a a", "SSUBSCRIBE s",
     "SUNSUBSCRIBE", "PSUBSCRIBE p1 p2 p3", "PUNSUBSCRIBE", "UNSUBSCRIBE", "UNSUBSCRIBE", "GET x"],
    ["SUBSCRIBE a", "PSUBSCRIBE a", "SSUBSCRIBE a", "UNSUBSCRIBE nosuch", "UNSUBSCRIBE a", "PUNSUBSCRIBE a", "GET x", "SUNSUBSCRIBE a",
     "GET x"],
    ["HELLO 3", "SUBSCRIBE a", "PUBLISH a x", "HELLO 2", "GET x", "PING", "UNSUBSCRIBE a", "GET x"],
    ["HELLO 3", "SUBSCRIBE a", "GET x", "SSUBSCRIBE b", "SPUBLISH b y", "PUBLISH b z", "RESET", "GET x", "PUBLISH a x"],
    ["SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH a", "SPUBLISH a b c", "PUBSUB", "PUBSUB NOSUCH", "PUBSUB CHANNELS a b", "PUBSUB NUMPAT x",
     "PUBSUB NUMSUB", "PUBSUB SHARDNUMSUB", "PUBSUB HELP", "pubsub Channels", "PUBSUB SHARDCHANNELS a b", "PUBSUB HELP x"],
    ["SUBSCRIBE a b", "SUBSCRIBE c", "QUIT"],
    ["HELLO 3", "PSUBSCRIBE a* [b-c]", "PUBLISH abc 1", "PUBLISH b 2", "PUBLISH d 3", "PUBLISH a* 4"],
]


@pytest.mark.parametrize("commands", CONVERSATIONS, ids=lambda commands: " ".join(commands)[:40])
def test_a_conversation_is_that_of_redis(node, oracle, commands):
    for at_once in False, True:
        told = []
        for server in node, oracle:
            with server.wire() as conn:
                for line in commands:
                    conn.send(line.encode() + b"\r\n")
                    if not at_once and "REPLY" not in commands[0]:
                        conn.read_raw()  # the first of it: the next one is not sent in the same breath
                if commands[-1] != "QUIT":
                    conn.send(wire.encode(["PING", "the end"]))
                    read_until(conn, b"the end")
                else:
                    assert conn.closes_within(5)
                told.append(bytes(conn.buffer))
        ours, theirs = (text.replace(b":%d\r\n" % 0, b":0\r\n") for text in told)
        assert normal_ids(ours) == normal_ids(theirs), (at_once, commands)


def normal_ids(text):
    """HELLO shows the number of the connection, and what is the matter with the oracle's is not the subject."""
    parts = text.split(b"$2\r\nid\r\n:")
    return [parts[0]] + [part[part.index(b"\r\n"):] for part in parts[1:]]


class Speaker:
    """Random commands for a band. What Redis does in the order of a hash table is left out: bare UNSUBSCRIBE with several
    channels, several patterns that match one channel."""

    CHANNELS = ["alpha", "beta", "gamma", "delta", "", "with space", "\x00\xff"]
    PATTERNS = ["alph?", "[b-c]e*", "gam\\ma", "*ta-none", "d*"]

    def __init__(self, rng, count):
        self.rng = rng
        self.channels = [set() for _ in range(count)]
        self.shards = [set() for _ in range(count)]

    def commands(self, at):
        return [self.command(at) for _ in range(self.rng.choice([1, 1, 2, 5]))]

    def some(self, names):
        return [self.rng.choice(names) for _ in range(self.rng.choice([1, 1, 2, 3]))]

    def command(self, at):
        what = self.rng.randrange(16)
        names = self.some(self.CHANNELS)
        if what < 3:
            self.channels[at].update(names)
            return ["SUBSCRIBE", *names]
        if what == 3:
            self.shards[at].update(names)
            return ["SSUBSCRIBE", *names]
        if what == 4:
            return ["PSUBSCRIBE", *self.some(self.PATTERNS)]
        if what == 5:
            self.channels[at].difference_update(names)
            return ["UNSUBSCRIBE", *names]
        if what == 6 and len(self.channels[at]) < 2:
            self.channels[at].clear()
            return ["UNSUBSCRIBE"]
        if what == 7:
            return ["PUNSUBSCRIBE", *(self.some(self.PATTERNS) if self.rng.random() < 0.6 else [])]
        if what == 8:
            self.shards[at].difference_update(names)
            return ["SUNSUBSCRIBE", *names]
        if what == 9:
            return self.rng.choice([["PING"], ["PING", "p"], ["GET", "nosuch"], ["SUBSCRIBE"], ["ECHO", "e"]])
        if what == 10 and self.rng.random() < 0.5:
            self.channels[at].clear()
            self.shards[at].clear()
            return ["RESET"]
        if what == 11:
            return ["PUBSUB", self.rng.choice(["NUMSUB", "SHARDNUMSUB"]), *names]
        if what == 12 and self.rng.random() < 0.3:
            return ["PUBSUB", "NUMPAT"]
        return [self.rng.choice(["PUBLISH", "PUBLISH", "SPUBLISH"]), names[0], "m%d" % self.rng.randrange(1000)]


def test_random_streams_are_answered_as_by_redis(node, oracle):
    """RESP2, RESP3 and a publisher that listens to nothing, each command when the one before is answered."""
    print(f"replay: JOURNEY_SEED={SEED} pytest -k random_streams {__file__}")
    rng = random.Random(SEED)
    for _ in range(4):
        bands = [Band(server, 6) for server in (node, oracle)]
        speaker = Speaker(rng, 6)
        for at in 1, 3:
            for band in bands:
                band.step(at, [["HELLO", "3"]])
                band.told[at].clear()  # it shows the id
        for _ in range(60):
            at = rng.randrange(6)
            commands = speaker.commands(at)
            if at == 5:
                commands = [command for command in commands if command[0].endswith("PUBLISH") or command[0] == "PUBSUB"]
            for band in bands:
                band.step(at, commands)
        ours, theirs = (band.end() for band in bands)
        for at in range(6):
            assert split(ours[at]) == split(theirs[at]), (SEED, at)


# --- who gets what ---------------------------------------------------------------------------------------------------------


def test_a_message_reaches_a_thousand_on_all_workers(node_alone):
    """Each gets all, in the order of their publisher; the number is exact."""
    count, messages = 1000, 20
    conns = [node_alone.wire(proto=2 if i % 2 else 3) for i in range(count)]
    for conn in conns:
        conn.send(wire.encode(["SUBSCRIBE", "crowd"]))
    for conn in conns:
        conn.read()
    with node_alone.wire() as publisher:
        assert publisher.ask("PUBSUB", "NUMSUB", "crowd") == [b"crowd", count]
        told = publisher.pipeline([["PUBLISH", "crowd", str(i)] for i in range(messages)])
        assert told == [count] * messages
    for conn in conns:
        assert [conn.read()[2] for _ in range(messages)] == [b"%d" % i for i in range(messages)]
        conn.close()
    until(lambda: node_alone.info()["pubsub_channels"] == "0", what="nobody listens any more")


def test_messages_of_one_publisher_stay_in_order_among_many(node):
    """Four publishers at once, listeners on both workers."""
    ears = [node.wire(proto=2 + i % 2) for i in range(4)]
    for ear in ears:
        ear.ask("SUBSCRIBE", "order")

    def publish(name):
        with node.wire() as conn:
            conn.pipeline([["PUBLISH", "order", f"{name}-{i}"] for i in range(200)])
    threads = [threading.Thread(target=publish, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for ear in ears:
        heard = [ear.read()[2].decode().split("-") for _ in range(800)]
        for name in "abcd":
            assert [int(i) for who, i in heard if who == name] == list(range(200)), name
        ear.close()
    for thread in threads:
        thread.join()


def test_a_message_is_answered_when_everybody_has_it_in_front_of_what_comes_later(node):
    """Counted means: whatever the listener is told from then on comes behind the message."""
    ears = [node.wire(proto=2) for _ in range(6)]
    for ear in ears:
        ear.ask("SUBSCRIBE", "now")
    with node.wire() as publisher:
        for i in range(30):
            assert publisher.ask("PUBLISH", "now", str(i)) == 6
            for ear in ears:
                ear.send(wire.encode(["PING", "p%d" % i]))
            for ear in ears:
                assert ear.read() == [b"message", b"now", b"%d" % i]
                assert ear.read() == [b"pong", b"p%d" % i]
    for ear in ears:
        ear.close()


def test_large_and_binary_messages(node):
    payload = bytes(range(256)) * 4096
    with node.wire(proto=3) as ear, node.wire() as publisher:
        ear.ask("PSUBSCRIBE", "lar*")
        publisher.send(b"".join(wire.encode(["PUBLISH", "large", payload + b"%d" % i]) for i in range(5)))
        assert [publisher.read() for _ in range(5)] == [1] * 5
        for i in range(5):
            assert ear.read() == [b"pmessage", b"lar*", b"large", payload + b"%d" % i]


def test_redis_py_subscribes_listens_and_unsubscribes(node):
    for proto in 2, 3:
        client = node.client(decode_responses=True, **({"protocol": 3} if proto == 3 and redis.VERSION >= (5,) else {}))
        pubsub = client.pubsub()
        pubsub.subscribe("news", sport=lambda message: heard.append(message["data"]))
        pubsub.psubscribe("w*")
        heard = []
        kinds = [pubsub.get_message(timeout=5)["type"] for _ in range(3)]
        assert kinds == ["subscribe", "subscribe", "psubscribe"]
        assert (client.publish("news", "n"), client.publish("weather", "rain"), client.publish("sport", "s")) == (1, 1, 1)
        assert pubsub.get_message(timeout=5)["data"] == "n"
        assert pubsub.get_message(timeout=5) == {"type": "pmessage", "pattern": "w*", "channel": "weather", "data": "rain"}
        assert pubsub.get_message(timeout=5) is None and heard == ["s"]
        assert dict(client.pubsub_numsub("news", "sport")) == {"news": 1, "sport": 1} and client.pubsub_numpat() == 1
        assert sorted(client.pubsub_channels()) == ["news", "sport"]
        pubsub.unsubscribe()
        pubsub.punsubscribe()
        until(lambda: pubsub.get_message(timeout=1) is None and not pubsub.subscribed, what="all subscriptions ended")
        pubsub.close()
        client.close()


# --- what others see of it -----------------------------------------------------------------------------------------------


def test_client_list_and_info_show_subscriptions(node):
    with node.wire(proto=3) as ear, node.wire() as conn:
        number = ear.ask("CLIENT", "ID")
        for command in ["SUBSCRIBE", "a"], ["SUBSCRIBE", "b"], ["PSUBSCRIBE", "p*"], ["SSUBSCRIBE", "s"]:
            ear.ask(*command)
        line = conn.ask("CLIENT", "LIST", "ID", str(number)).decode()
        assert " flags=P " in line and " sub=2 psub=1 ssub=1 " in line, line
        of_type = conn.ask("CLIENT", "LIST", "TYPE", "pubsub").decode().splitlines()
        assert [entry.split()[0] for entry in of_type] == [f"id={number}"]
        assert f"id={number} " not in conn.ask("CLIENT", "LIST", "TYPE", "normal").decode()
        info = node.info("stats")
        assert (info["pubsub_channels"], info["pubsub_patterns"], info["pubsubshard_channels"]) == ("2", "1", "1")
        assert conn.ask("CLIENT", "KILL", "TYPE", "pubsub") == 1
        assert ear.closes_within(5)
        until(lambda: node.info("stats")["pubsub_patterns"] == "0", what="its subscriptions ended")
        until(lambda: conn.ask("PUBLISH", "a", "x") == 0, what="nobody listens")


def test_who_does_not_read_is_closed_and_others_do_not_notice(module_stage, node):
    message = b"m" * MB
    with node.wire() as slow, node.wire() as ear, node.wire() as publisher:
        slow.ask("SUBSCRIBE", "flood")
        ear.ask("SUBSCRIBE", "flood")
        before = vm_rss_bytes(node.pid)
        counts = []
        for i in range(70):
            counts.append(publisher.ask("PUBLISH", "flood", message))
            assert ear.read()[2] == message
            if i > 40 and publisher.ask("CLIENT", "LIST", "TYPE", "pubsub").count(b"\n") == 1:
                break
        until(lambda: publisher.ask("PUBLISH", "flood", "x") == 1, what="the slow one is gone")
        assert counts[:30] == [2] * 30
        assert vm_rss_bytes(node.pid) - before < 80 * MB
        assert publisher.ask("PING") == b"PONG"


def test_the_memory_of_subscriptions_is_bounded(stage):
    node = stage.node("--memory", "1mb")
    with node.wire(proto=3) as conn, node.wire() as other:
        answers = []
        while not answers or answers[-1][0] == b"subscribe":
            conn.send(wire.encode(["SUBSCRIBE", "channel-%d-" % len(answers) + "x" * 1000]))
            answers.append(conn.read())
            assert len(answers) < 1000
        assert answers[-1].startswith(b"OOM ") and len(answers) > 50
        assert other.ask("SUBSCRIBE", "y" * 2000).startswith(b"OOM ")
        assert conn.ask("UNSUBSCRIBE", answers[0][1])[2] == len(answers) - 2
        assert other.ask("SUBSCRIBE", "z" * 500)[0] == b"subscribe"
