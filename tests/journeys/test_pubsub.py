# SPDX-License-Identifier: BSD-3-Clause
"""Pub/Sub: on a node alone and through L2, what clients are told is what redis-server would have told them."""

import random
import threading

import pytest
import redis

import wire
from harness import SEED, stand_still, until, vm_rss_bytes

MB = 1 << 20


@pytest.fixture(scope="module")
def oracle(module_stage):
    """A redis-server of its own: what L2 is told would be heard twice."""
    return module_stage.redis()


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
            conn.send(b"RESET\r\n")  # so that nobody counts it later
            read_until(conn, b"+RESET")
            conn.close()
        return self.told


def orders(told, node):
    """What has an order: alone all of it. With an L2 messages come on a connection of their own, and what the node answers by
    itself may overtake them; everything that L2 says is in order."""
    def is_message(part):
        return part.split(b"\r\n")[2:3] in ([b"message"], [b"pmessage"], [b"smessage"])
    if not getattr(node, "l2_url", None):
        return [told]
    return [[part for part in told if is_message(part)], [part for part in told if not is_message(part)]]


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
    ["SUBSCRIBE q1 q2", "SUBSCRIBE q3", "QUIT"],
    ["MULTI", "PING", "SUBSCRIBE a b", "PSUBSCRIBE p", "SET other 1", "SSUBSCRIBE s", "EXEC", "PING", "RESET"],
    ["HELLO 3", "MULTI", "SUBSCRIBE a", "UNSUBSCRIBE a", "GET x", "UNSUBSCRIBE", "EXEC", "PING", "MULTI", "SUBSCRIBE a", "PUBLISH b x", "EXEC"],
    ["SUBSCRIBE a", "MULTI", "EXEC"],
    ["SUBSCRIBE a", "RESET", "PING x", "UNSUBSCRIBE x", "PING y", "SUBSCRIBE b", "UNSUBSCRIBE", "PING", "GET x", "PING z"],
    ["HELLO 3", "SUBSCRIBE a", "HELLO 2", "PING", "UNSUBSCRIBE", "PING", "PING y", "PSUBSCRIBE p", "PING y"],
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
                    conn.send(b"RESET\r\n")  # so that nobody counts it later
                    read_until(conn, b"+RESET")
                else:
                    assert conn.closes_within(15)
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
    print(f"replay: TEST_SEED={SEED} pytest -k random_streams {__file__}")
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
            for part, (mine, its) in enumerate(zip(orders(ours[at], node), orders(theirs[at], node))):
                same = next((i for i, (a, b) in enumerate(zip(mine, its)) if a != b), min(len(mine), len(its)))
                assert mine == its, (SEED, at, part, same, mine[same - 3:same + 2], its[same - 3:same + 2])


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


def test_messages_of_a_transaction_reach_all_workers(node):
    ears = [node.wire(proto=2 + i % 2) for i in range(4)]
    for ear in ears:
        ear.ask("SUBSCRIBE", "both")
    with node.wire() as conn:
        for command in ["MULTI"], ["PUBLISH", "both", "1"], ["INCR", "published"], ["PUBLISH", "both", "x" * 100_000]:
            conn.ask(*command)
        told = conn.ask("EXEC")
        assert [told[0], told[2]] == [4, 4] and conn.ask("PING") == b"PONG"
    for ear in ears:
        assert ear.read() == [b"message", b"both", b"1"] and ear.read()[2] == b"x" * 100_000
        ear.close()


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
        until(lambda: pubsub.get_message(timeout=0.02) is None and not pubsub.subscribed, what="all subscriptions ended")
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
        assert ear.closes_within(15)
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


# --- through L2 ----------------------------------------------------------------------------------------------------------


def bus_listeners(redis_server):
    """The connections that listen at Redis, those of nodes' buses too."""
    return redis_server.client().client_list(_type="pubsub")


@pytest.mark.own
def test_a_message_from_another_node_or_a_stranger_arrives(two_nodes, redis_server):
    first, second = two_nodes
    for proto in 2, 3:
        with first.wire(proto=proto) as ear, second.wire() as other, redis_server.wire() as stranger:
            ear.ask("SUBSCRIBE", "a")
            ear.ask("PSUBSCRIBE", "b*")
            ear.ask("SSUBSCRIBE", "s")
            assert [other.ask("PUBLISH", "a", "1"), stranger.ask("PUBLISH", "bb", "2"), other.ask("SPUBLISH", "s", "3")] == [1, 1, 1]
            assert [ear.read() for _ in range(3)] == [[b"message", b"a", b"1"], [b"pmessage", b"b*", b"bb", b"2"],
                                                      [b"smessage", b"s", b"3"]]
            assert other.ask("PUBSUB", "NUMSUB", "a", "b") == [b"a", 1, b"b", 0] and other.ask("PUBSUB", "NUMPAT") == 1
            assert other.ask("PUBSUB", "CHANNELS") == [b"a"] and other.ask("PUBSUB", "SHARDCHANNELS") == [b"s"]
            ear.close()
            until(lambda: other.ask("PUBSUB", "NUMPAT") == 0 and other.ask("PUBSUB", "CHANNELS") == [], what="its line ended")


def test_who_publishes_does_not_overtake_who_subscribed_before(module_stage, redis_server):
    """Many libraries do not read the answer of SUBSCRIBE before they go on. One thread, so that it is known who was first."""
    node = module_stage.node("--threads", "1", l2=redis_server)
    with node.wire() as other:
        for turn in range(20):
            for ear, commands, what in [
                    (node.wire(), [["SUBSCRIBE", "first"], ["SUBSCRIBE", "second", "third"]], ["PUBLISH", "third", "x"]),
                    (node.wire(proto=3), [["PSUBSCRIBE", "th*"]], ["PUBLISH", "third", "x"]),
                    (node.wire(), [["SSUBSCRIBE", "shard"]], ["SPUBLISH", "shard", "x"]),
                    (node.wire(), [["PSUBSCRIBE", "*"]], ["PUBSUB", "NUMPAT"])]:
                with ear:
                    ear.ask("PING")  # it was let in, so what it sends comes first
                    ear.send(b"".join(wire.encode(command) for command in commands))
                    assert other.ask(*what) == 1, turn
                    ear.ask("RESET") if turn % 2 else ear.send(wire.encode(["RESET"]))
        assert other.ask("PUBSUB", "NUMSUB", "first", "third") == [b"first", 0, b"third", 0]


@pytest.mark.own
def test_who_publishes_does_not_wait_for_ever(stage):
    """L2 hangs: SUBSCRIBE is not confirmed, and PUBLISH says so itself."""
    l2 = stage.redis()
    node = stage.node("--l2-timeout", "200ms", "--l2-relay-timeout", "200ms", "--threads", "1", l2=l2)
    with node.wire() as ear, node.wire() as other:
        stand_still(l2.process)
        ear.send(wire.encode(["SUBSCRIBE", "a"]))
        assert other.ask("PUBLISH", "a", "x").startswith((b"L2DOWN", b"UNKNOWN"))
        stand_still(l2.process, False)
        assert ear.read() == [b"subscribe", b"a", 1]


@pytest.mark.own
def test_one_connection_for_each_subscribed_client_until_its_last_subscription_ends(node_with_l2, redis_server):
    before = len(bus_listeners(redis_server))
    with node_with_l2.wire() as ear, node_with_l2.wire() as other:
        ear.ask("SUBSCRIBE", "a")
        ear.ask("SUBSCRIBE", "b")
        other.ask("PSUBSCRIBE", "*")
        assert len(bus_listeners(redis_server)) == before + 2
        ear.send(wire.encode(["UNSUBSCRIBE"]))
        ear.read(), ear.read()
        until(lambda: len(bus_listeners(redis_server)) == before + 1, what="its line ended")
        assert ear.ask("GET", "nosuch") is wire.NULL_BULK
        other.close()
        until(lambda: len(bus_listeners(redis_server)) == before, what="the other's line ended with it")
        assert ear.ask("SUBSCRIBE", "again") == [b"subscribe", b"again", 1]


@pytest.mark.own
def test_the_nodes_own_channels_are_hidden(two_nodes, redis_server):
    """Beats and announcements pass while a client listens to everything; nobody may speak there."""
    first, second = two_nodes
    with first.wire() as ear, second.wire() as other, redis_server.wire() as stranger:
        ear.ask("PSUBSCRIBE", "*")
        for name in "terrace:bus", "terrace:other", "__redis__:invalidate":
            for proto in 2, 3:
                with first.wire(proto=proto) as conn:
                    assert conn.ask("PUBLISH", name, "x") == wire.Error(
                        b"NOPERM these are the channels of Terrace nodes, closed to clients. A node that was given another "
                        b"node as its L2 needs the Redis behind that one")
                    assert conn.ask("MULTI") == b"OK" and conn.ask("PUBLISH", name, "x").startswith(b"NOPERM")
                    assert conn.ask("EXEC").startswith(b"EXECABORT")
            assert other.ask("PUBSUB", "NUMSUB", "a", name) == [b"a", 0, name.encode(), 0]
        assert other.ask("SUBSCRIBE", "a", "terrace:bus").startswith(b"NOPERM")
        assert other.ask("PUBSUB", "CHANNELS") == [] and other.ask("PUBSUB", "CHANNELS", "*") == []
        assert stranger.ask("PUBSUB", "NUMSUB", "terrace:bus")[1] >= 2
        frames = int(first.info()["bus_frames"])
        until(lambda: int(first.info()["bus_frames"]) > frames + 2, what="beats")
        with first.wire(proto=3) as near:
            assert near.ask("SUBSCRIBE", "__redis__:invalidate") == [b"subscribe", b"__redis__:invalidate", 1]
            assert stranger.ask("PUBLISH", "__redis__:invalidate", "forged") >= 3
            assert near.ask("PING") == b"PONG"
        assert other.ask("PUBLISH", "the end", "x") == 1
        assert ear.read() == [b"pmessage", b"*", b"the end", b"x"]


def waits(node):
    """How many calls have waited for other nodes, or for the bus."""
    lines = node.admin("/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("terrace_bus_waits_total{") or line.startswith("terrace_barriers_total"))


@pytest.mark.own
def test_a_message_waits_for_no_other_node(stage, redis_server):
    """It is of no key: neither `strict` nor the barrier of commands that name none concern it."""
    node = stage.node("--mode", "strict 1s", l2=redis_server)
    with node.wire(proto=3) as ear, node.wire() as conn:
        conn.ask("SET", "k", "v")
        before = waits(node)
        assert before > 0
        ear.ask("SUBSCRIBE", "a")
        assert [conn.ask("PUBLISH", "a", "1"), conn.ask("SPUBLISH", "a", "1"), ear.ask("PUBLISH", "b", "2")[0]] == [1, 0, b"message"]
        conn.ask("PUBSUB", "NUMSUB", "a")
        assert waits(node) == before


@pytest.mark.own
def test_notifications_of_keys_are_ordinary_messages(node_with_l2, redis_server):
    redis_server.client().config_set("notify-keyspace-events", "KEA")
    with node_with_l2.wire() as ear, node_with_l2.wire() as conn:
        ear.ask("PSUBSCRIBE", "__key*__:noted")
        conn.ask("SET", "noted", "1")
        assert ear.read() == [b"pmessage", b"__key*__:noted", b"__keyspace@0__:noted", b"set"]
    redis_server.client().config_set("notify-keyspace-events", "")


@pytest.mark.own
def test_a_message_does_not_wait_for_the_end_of_a_blocking_command(node_with_l2):
    with node_with_l2.wire(proto=3) as ear, node_with_l2.wire() as conn:
        ear.ask("SUBSCRIBE", "a")
        ear.send(wire.encode(["BLPOP", "never-pushed", "0"]))
        until(lambda: node_with_l2.info()["blocked_clients"] == "1", what="it is blocked")
        assert conn.ask("PUBLISH", "a", "x") == 1
        assert ear.read() == [b"message", b"a", b"x"]
        conn.ask("RPUSH", "never-pushed", "after all")
        assert ear.read() == [b"never-pushed", b"after all"]


@pytest.mark.own
def test_beyond_the_limit_of_lines_subscribe_is_refused(stage, redis_server):
    node = stage.node("--l2-subscribers-max", "1", l2=redis_server)
    with node.wire() as first, node.wire() as second:
        first.ask("SUBSCRIBE", "a")
        assert second.ask("SUBSCRIBE", "a") == wire.Error(
            b"BUSY all 1 connections to L2 for clients that subscribe are in use (l2-subscribers-max)")
        assert second.ask("GET", "nosuch") is wire.NULL_BULK
        assert first.ask("UNSUBSCRIBE", "a") == [b"unsubscribe", b"a", 0]
        assert second.ask("SUBSCRIBE", "a") == [b"subscribe", b"a", 1]


@pytest.mark.own
def test_a_subscriber_is_closed_when_l2_dies_and_subscribes_anew(stage):
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    pubsub = node.client(decode_responses=True).pubsub()
    pubsub.subscribe("news")
    assert pubsub.get_message(timeout=5)["type"] == "subscribe"
    with node.wire() as ear, node.wire(proto=3) as busy, node.wire() as other:
        ear.ask("SUBSCRIBE", "a")
        busy.ask("SUBSCRIBE", "a")
        other.ask("PUBLISH", "a", "before")
        for conn in ear, busy:
            assert conn.read() == [b"message", b"a", b"before"]
        redis_server.process.kill()
        for conn in ear, busy:
            assert conn.closes_within(15) and conn.leftover() == b""
        assert other.ask("SUBSCRIBE", "a").startswith(b"L2DOWN")
        assert other.ask("PUBLISH", "a", "x").startswith(b"L2DOWN")
        assert other.ask("PING") == b"PONG" and node.info("stats")["pubsub_channels"] == "0"
        assert redis_server.start()
        node.wait_synced(10)
        # redis-py connects and subscribes anew by itself.
        with pytest.raises(redis.ConnectionError):
            while True:
                pubsub.get_message(timeout=5)
        assert until(lambda: pubsub.get_message(timeout=1), 10)["type"] == "subscribe"
        until(lambda: other.ask("PUBLISH", "news", "after") == 1, 10)
        assert until(lambda: pubsub.get_message(timeout=1), 10)["data"] == "after"
