# SPDX-License-Identifier: BSD-3-Clause
"""The same random commands to redis-server and to the node: every reply is compared byte for byte.

A case is a few hundred commands on two connections, sent in pipelines of random length, made from one seed. A case that
differs is made smaller by leaving commands out, and the report ends with the line that replays it.

    JOURNEY_COMMANDS=200000 pytest tests/journeys/test_differential.py      of each kind; a third as many of two nodes
    TEST_SEED=123 JOURNEY_COMMANDS=1 pytest ...                      the case of that seed

What cannot be equal on two servers is brought to a common form first, each with its reason: normalise.py.

Each case has two connections. With two nodes each is to a node of its own, and before the other speaks, its node is told
to wait until it has applied what the first one wrote (CACHE.LASTSEQ, CACHE.WAITSEQ).
"""

import os
import random
import time
import zlib

import pytest

import wire
from harness import REHEARSAL, SEED
from normalise import same_block, same_value
from random_commands import Generator, KEYS

COMMANDS = int(os.environ.get("JOURNEY_COMMANDS", "30000"))
COMMANDS_PER_CASE = 250
# What turns replies off, or begins anew, has no place in a block that must be counted.
UNQUEUED = (b"CLIENT", b"RESET", b"HELLO", b"EXEC", b"DISCARD")
DIFFERENCES_SHOWN = 6
SHRINK_S = 8.0
END = b"end of the pipeline"


# --- cases ---

class Step:
    """Commands that belong together, how many of the last are answered, and whether the pipeline is sent after them, and
    on which connection."""

    def __init__(self, commands, replies, flush, encode=wire.encode):
        self.commands, self.replies, self.flush = commands, replies, flush
        self.bytes = b"".join(map(encode, commands))
        self.side = 0


def encode_inline(words):
    """As one types it, with everything quoted."""
    def quote(word):
        return b'"' + b"".join(b"\\x%02x" % byte if byte in b'"\\' or not 32 <= byte < 127 else bytes([byte])
                               for byte in word) + b'"'
    return b" ".join(map(quote, words)) + b"\r\n"


def make_case(seed, with_others):
    rng = random.Random(seed)
    # After a flush a node with L2 reads nothing from L1 until its next beat: in most cases nobody flushes.
    # Lists and their like take keys away from what L1 holds: half of the cases are of strings and hashes alone.
    generator = Generator(rng, with_others and rng.random() < 0.5, with_flushes=rng.random() < 0.1)
    # Behind a write in the same pipeline nothing is read from L1 either: half of the cases send little at a time.
    lengths = rng.choice([[1, 1, 1, 2, 3], [1, 5, 20, 100]])
    steps, left, side, reads = [], rng.choice(lengths), 0, rng.choice([0.25, 0.7])
    for _ in range(COMMANDS_PER_CASE):
        left -= 1
        flush = left <= 0
        if flush:
            left = rng.choice(lengths)
        step = make_step(rng, generator, flush, reads)
        step.side = side
        steps.append(step)
        if flush and rng.random() < 0.3:
            side = 1 - side
    return steps


def make_step(rng, generator, flush, reads):
    if rng.random() < reads:  # one that may well be a hit
        return Step([rng.choice([[b"GET", generator.draw_key()], [b"MGET", b"k:a", b"k:b"],
                                 [b"TTL", generator.draw_key()], [b"HGETALL", generator.draw_key()],
                                 [b"HGET", generator.draw_key(), b"f"]])], 1, flush)
    if rng.random() < 0.005:  # replies switched off for a while
        quiet = [generator.command() for _ in range(rng.randint(1, 3))]
        quiet = [words for words in quiet if words[0].upper() not in (b"CLIENT", b"RESET", b"HELLO")
                 and b"SUBSCRIBE" not in words[0].upper()]  # answered even then
        return Step([[b"CLIENT", b"REPLY", b"OFF"], *quiet, [b"CLIENT", b"REPLY", b"ON"]], 1, flush)
    if rng.random() < 0.005:
        words = [b"SET", generator.draw_key(), b"skipped"]
        return Step([[b"CLIENT", b"REPLY", b"SKIP"], words], 0, flush)
    if rng.random() < 0.02:
        return make_block(rng, generator, flush)
    if rng.random() < 0.004:
        return make_listening(rng, generator, flush)
    words = generator.command()
    words = met(words)
    if len(words) > 1:
        return Step(words, len(words), flush)
    words = words[0]
    inline = rng.random() < 0.03 and sum(map(len, words)) < 8000
    return Step([words], 1, flush, encode_inline if inline else wire.encode)


def met(words):
    """The command, where it counts or weighs keys behind one that meets all: Redis does so with those that ended until
    somebody meets them."""
    scan = [b"SCAN", b"0", b"COUNT", b"100000"]
    return [scan, words] if words[0].upper() in (b"DBSIZE", b"MEMORY") else [words]


def make_block(rng, generator, flush):
    """MULTI to EXEC or DISCARD, sometimes under WATCH."""
    block = [[b"WATCH", generator.draw_key()]] if rng.random() < 0.3 else []
    inside = [generator.command() for _ in range(rng.randint(0, 6))]
    inside = [words for words in inside if words[0].upper() not in UNQUEUED and b"SUBSCRIBE" not in words[0].upper()]
    inside = [each for words in inside for each in met(words)]
    if rng.random() < 0.1:
        inside.append([rng.choice([b"MULTI", b"WATCH"])])
    block += [[b"MULTI"], *inside, [b"DISCARD"] if rng.random() < 0.1 else [b"EXEC"]]
    return Step(block, len(block), flush)


def make_listening(rng, generator, flush):
    """A connection listens for a while; what a RESP2 client may not send then is refused. One channel per command: each is
    answered once."""
    channels = [(b"SUBSCRIBE", b"a"), (b"PSUBSCRIBE", b"a*"), (b"SUBSCRIBE", b"b"), (b"SSUBSCRIBE", b"s")]
    begun = rng.sample(channels, rng.randint(1, 4))
    commands = [list(words) for words in begun]
    commands += [rng.choice([[b"PING"], [b"PING", b"x"], [b"GET", b"k:a"], [b"SUBSCRIBE"], [b"MULTI", b"x"],
                             [b"PUBLISH", b"nobody", b"x"]]) for _ in range(rng.randint(0, 3))]
    rng.shuffle(begun)
    commands += [[word.replace(b"SUB", b"UNSUB"), name] for word, name in begun]
    return Step(commands, len(commands), flush)


def run_case(servers, oracle, proto, steps):
    """The first (step index, difference) or None. All begin empty. `servers`: those that the two connections are to."""
    servers[0].wait_synced()
    empty(oracle)
    empty(servers[0])
    with Talk(servers, oracle, proto) as talk:
        begin = 0
        for i, step in enumerate(steps):
            if step.flush or i == len(steps) - 1 or steps[i + 1].side != step.side:
                found = talk.run_pipeline(steps[begin:i + 1])
                if found:
                    return begin + found[0], found[1]
                begin = i + 1
    found = read_at_rest(servers, oracle, proto)
    return (len(steps) - 1, found) if found else None


def read_at_rest(servers, oracle, proto):
    """What is left, read twice: the second time from L1 where it is a string. At rest every tier says the same."""
    for server in servers:
        server.wait_synced()
    with Talk(servers, oracle, proto) as talk:
        for db in b"0", b"1", b"2":
            for side in 0, 1, 0, 1:
                steps = [Step([[b"SELECT", db]], 1, False), *(Step([[b"GET", name]], 1, False) for name in KEYS),
                         *(Step([[b"HGETALL", name]], 1, False) for name in KEYS)]
                for step in steps:
                    step.side = side
                found = talk.run_pipeline(steps)
                if found:
                    return found[1]
    return None


def empty(server):
    """Key by key: a flush would close the fence of L1."""
    with server.wire() as conn:
        for db in b"0", b"1", b"2":
            conn.ask("SELECT", db)
            names = conn.ask("SCAN", "0", "COUNT", "100000")[1]
            if names:
                conn.ask("UNLINK", *names)
        conn.ask("FUNCTION", "FLUSH")
        conn.ask("SCRIPT", "FLUSH")


class Talk:
    """The two connections of a case to the nodes, and those to the oracle."""

    def __init__(self, servers, oracle, proto):
        self.servers = servers
        self.controls = [server.wire() for server in servers] if servers[0] is not servers[1] else None
        self.ours = [server.wire(proto) for server in servers]
        self.theirs = [oracle.wire(proto) for _ in servers]
        self.queues = [[], []]  # what stands between MULTI and EXEC
        self.side = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        for conn in self.ours + self.theirs + (self.controls or []):
            conn.close()

    def turn_to(self, side):
        """What was acknowledged on one connection is seen on the other: at once on one node, else when it was applied."""
        if self.controls and side != self.side:
            seq = self.controls[self.side].ask("CACHE.LASTSEQ")
            told = self.controls[side].ask("CACHE.WAITSEQ", seq, 10_000)
            assert told == b"OK", told
        self.side = side

    def run_pipeline(self, steps):
        """None, or (the step, what differs)."""
        self.turn_to(steps[0].side)
        ours, theirs = self.ours[self.side], self.theirs[self.side]
        data = b"".join(step.bytes for step in steps) + wire.encode([b"ECHO", END])
        theirs.send(data)
        cut = zlib.crc32(data) % len(data) if len(steps) % 3 == 0 else 0  # some requests arrive in two halves
        ours.send(data[:cut])
        ours.send(data[cut:])
        for i, step in enumerate(steps):
            for words in step.commands[-step.replies:] if step.replies else []:
                expected = theirs.read_raw()
                try:
                    got = ours.read_raw()
                except (wire.Closed, OSError) as error:
                    return i, (repr(error).encode(), expected[0])
                if self.differs(words, got, expected):
                    return i, (got[0], expected[0])
        expected = theirs.read_raw()[0]
        try:
            got = ours.read_raw()[0]
        except (wire.Closed, OSError) as error:
            got = repr(error).encode()
        return None if got == expected else (len(steps) - 1, (got, expected))

    def differs(self, words, got, expected):
        """`got` and `expected`: (bytes, value)."""
        name, queue = words[0].upper(), self.queues[self.side]
        if expected[1] == b"QUEUED":
            queue.append(words)
        elif name in (b"MULTI", b"EXEC", b"DISCARD", b"RESET") and expected[1] != b"ERR MULTI calls can not be nested":
            self.queues[self.side] = []
        if got[0] == expected[0]:
            return False
        return not (same_block(queue, got[1], expected[1]) if name == b"EXEC" else same_value(words, got[1], expected[1]))


def shrink(servers, oracle, proto, steps, kind):
    """Leaves out what is not needed to show a difference of the same command, for a few seconds."""
    ends_at = time.monotonic() + SHRINK_S
    size = len(steps) // 2
    while size and time.monotonic() < ends_at:
        at = 0
        while at < len(steps) and time.monotonic() < ends_at:
            shorter = steps[:at] + steps[at + size:]
            found = run_case(servers, oracle, proto, shorter) if shorter else None
            if found and kind_of(shorter[found[0]]) == kind:
                steps = shorter[:found[0] + 1]
            else:
                at += size
        size //= 2
    return steps


def kind_of(step):
    """Differences of one kind are shown once."""
    return b" ".join(step.commands[-1][:2 if step.commands[-1][0].upper() in (b"CLIENT", b"COMMAND", b"OBJECT") else 1]
                     ).upper()


def describe(seed, steps, found, where):
    def printable(words):
        return " ".join(repr(word)[1:] if not word.isalnum() else word.decode() for word in words)[:300]
    lines = [f"seed {seed}:"]
    lines += [f"    {printable(words)}{'   <- sent' if step.flush else ''}" for step in steps for words in step.commands]
    lines += [f"    node:  {found[0][:300]!r}", f"    redis: {found[1][:300]!r}",
              f"    replay: TEST_SEED={seed} JOURNEY_COMMANDS=1 /usr/bin/python3 -m pytest "
              f"'tests/journeys/test_differential.py::test_replies_are_those_of_redis[{where}]'"]
    return "\n".join(lines)


def find_differences(servers, oracle, proto, place):
    with_others = place != "alone"
    differences, kinds = [], set()
    commands = COMMANDS // 3 if place == "pair" else COMMANDS
    for seed in range(SEED, SEED + max(1, commands // COMMANDS_PER_CASE)):
        steps = make_case(seed, with_others)
        found = run_case(servers, oracle, proto, steps)
        if not found:
            continue
        kind = kind_of(steps[found[0]])
        if kind in kinds:
            continue
        kinds.add(kind)
        small = shrink(servers, oracle, proto, steps[:found[0] + 1], kind)
        found = run_case(servers, oracle, proto, small) or found
        differences.append(describe(seed, small, found[1], f"{place}-{proto}"))
        if len(differences) == DIFFERENCES_SHOWN:
            break
    return differences


# Hashes and sorted sets stay lists: the order of a hash table is random. Nothing is slow enough for the log.
STEADY = ["--slowlog-log-slower-than", "-1", "--hash-max-listpack-value", "100000", "--zset-max-listpack-value",
          "100000"]


@pytest.fixture(scope="module")
def oracle(module_stage):
    """The redis-server whose replies are right."""
    return module_stage.redis(*STEADY)


@pytest.fixture(scope="module")
def quiet_alone(module_stage):
    return module_stage.node("--slowlog-log-slower-than", "-1", l2=module_stage.redis(*STEADY) if REHEARSAL else None)


@pytest.fixture(scope="module")
def quiet_with_l2(module_stage):
    return module_stage.node("--slowlog-log-slower-than", "-1", l2=module_stage.redis(*STEADY))


@pytest.fixture(scope="module")
def quiet_pair(module_stage):
    """Writer and reader on two nodes of one L2."""
    l2 = module_stage.redis(*STEADY)
    return [module_stage.node("--slowlog-log-slower-than", "-1", l2=l2) for _ in range(2)]


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("place", ["alone", "with_l2", "pair"])
def test_replies_are_those_of_redis(request, oracle, place, proto):
    if place == "pair" and REHEARSAL:
        pytest.skip("redis-server has no other node")
    found = request.getfixturevalue("quiet_" + place)
    servers = found if place == "pair" else [found, found]
    print(f"seed {SEED}, {COMMANDS} commands")
    differences = find_differences(servers, oracle, proto, place)
    assert not differences, "\n\n".join(differences)
    assert all(server.process.alive() for server in servers)
    if place != "alone" and not REHEARSAL:
        line = 'terrace_tier_requests_total{tier="l1",result="hit"} '  # INFO's count begins anew at CONFIG RESETSTAT
        hits = sum(int(server.admin("/metrics")[1].split(line)[1].split()[0]) for server in servers)
        print(f"{hits} hits in L1")
        assert hits > COMMANDS / 1000, "hardly a reply came from L1: the comparison proves little"


def test_a_planted_difference_is_found_and_made_small(oracle, module_stage):
    """The test of the test: a server whose proto-max-bulk-len is smaller answers one SETRANGE otherwise."""
    other = module_stage.redis(*STEADY, "--proto-max-bulk-len", "1mb")
    steps = make_case(7, with_others=False)
    for step in steps:
        step.side = 0
    steps.insert(100, Step([[b"SETRANGE", b"k:a", b"1048576", b"x"]], 1, False))
    steps.insert(50, Step([[b"DEL", b"k:a"]], 1, False))
    steps.insert(101, Step([[b"RESET"], [b"DEL", b"k:a"]], 2, False))
    found = run_case([other, other], oracle, 2, steps)
    assert found, "a planted difference was not found"
    small = shrink([other, other], oracle, 2, steps[:found[0] + 1], kind_of(steps[found[0]]))
    assert len(small) <= 3, describe(7, small, found[1], "alone-2")
