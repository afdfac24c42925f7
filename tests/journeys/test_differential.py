# SPDX-License-Identifier: BSD-3-Clause
"""The same random commands to redis-server and to the node: every reply is compared byte for byte.

A case is a few hundred commands on one connection, sent in pipelines of random length, made from one seed. A case that
differs is made smaller by leaving commands out, and the report ends with the line that replays it.

    JOURNEY_COMMANDS=1000000 pytest tests/journeys/test_differential.py      more of it
    JOURNEY_SEED=123 JOURNEY_COMMANDS=1 pytest ...                      the case of that seed

What cannot be equal on two servers is brought to a common form first, each with its reason: NORMALISERS.
"""

import os
import random
import time

import pytest

import wire
from harness import REHEARSAL
from random_commands import Generator, KEYS

COMMANDS = int(os.environ.get("JOURNEY_COMMANDS", "40000"))
SEED = int(os.environ.get("JOURNEY_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 40)
COMMANDS_PER_CASE = 250
DIFFERENCES_SHOWN = 6
SHRINK_S = 8.0
END = b"end of the pipeline"


# --- what may differ, and why ---

def shape(value):
    """The type of a reply only."""
    return type(value).__name__


def is_list(value):
    return isinstance(value, list)


def normal_ttl(args, ours, theirs):
    """Both servers read their own clocks, one after the other: equal within two seconds."""
    del args
    if isinstance(ours, int) and isinstance(theirs, int) and ours > 0 and theirs > 0:
        return (0, 0) if abs(ours - theirs) <= 2 else (ours, theirs)
    return ours, theirs


def normal_pttl(args, ours, theirs):
    """As TTL, in milliseconds."""
    del args
    if isinstance(ours, int) and isinstance(theirs, int) and ours > 0 and theirs > 0:
        return (0, 0) if abs(ours - theirs) <= 2000 else (ours, theirs)
    return ours, theirs


def normal_keys(args, ours, theirs):
    """The order of keys is that of the hash table."""
    del args
    return (sorted(ours), sorted(theirs)) if is_list(ours) and is_list(theirs) else (ours, theirs)


def normal_scan(args, ours, theirs):
    """Order, and cursors in between, are the table's own; with a COUNT above the number of keys one call gives all."""
    if not (is_list(ours) and is_list(theirs) and len(ours) == len(theirs) == 2):
        return ours, theirs
    if args[1:2] == [b"0"] and b"100000" in args:
        return [ours[0], sorted(ours[1])], [theirs[0], sorted(theirs[1])]
    return [shape(part) for part in ours], [shape(part) for part in theirs]


def normal_shape(args, ours, theirs):
    """A random or private value: only its type is compared."""
    del args
    return shape(ours), shape(theirs)


def normal_random_fields(args, ours, theirs):
    """Which fields is chance, also for which: with a count, how many there are and whether values are."""
    del args

    def counted(value):
        return [[shape(part) for part in value]] if is_list(value) else shape(value)
    if isinstance(ours, wire.Error) or isinstance(theirs, wire.Error):
        return ours, theirs
    return counted(ours), counted(theirs)


def normal_object(args, ours, theirs):
    """IDLETIME counts seconds since a moment that differs. Here Redis keeps all hashes as lists (STEADY)."""
    if [ours, theirs] == [b"hashtable", b"listpack"]:
        return theirs, theirs
    if len(args) > 1 and args[1].upper() == b"IDLETIME" and isinstance(ours, int) and isinstance(theirs, int):
        return (0, 0) if abs(ours - theirs) <= 2 else (ours, theirs)
    return ours, theirs


def normal_memory(args, ours, theirs):
    """Bytes of an allocator."""
    del args
    return (0, 0) if isinstance(ours, int) and isinstance(theirs, int) and ours > 0 else (ours, theirs)


def normal_hello(args, ours, theirs):
    """The connection's id."""
    del args

    def without_id(value):
        pairs = list(value) if isinstance(value, wire.Map) else [list(p) for p in zip(value[::2], value[1::2])]
        return shape(value), [pair for pair in pairs if pair[0] != b"id"]
    return (without_id(ours), without_id(theirs)) if is_list(ours) and is_list(theirs) else (ours, theirs)


def normal_client(args, ours, theirs):
    """ID, and the line that tells address, descriptor and buffers: its fields' names are compared."""
    kind = args[1].upper() if len(args) > 1 else b""
    if kind == b"ID" and len(args) == 2:
        return shape(ours), shape(theirs)
    if kind in (b"INFO", b"LIST") and not isinstance(theirs, wire.Error):
        return field_names(ours), field_names(theirs)
    return ours, theirs


def field_names(text):
    return shape(text), [word.split(b"=")[0] for word in bytes(text).split()]


def normal_command(args, ours, theirs):
    """How many commands there are, and in which order: that of a hash table."""
    kind = args[1].upper() if len(args) > 1 else b""
    every = kind in (b"INFO", b"DOCS") and len(args) == 2
    if (every or kind in (b"COUNT", b"LIST", b"")) and not isinstance(theirs, wire.Error):
        return shape(ours), shape(theirs)
    return ours, theirs


def normal_config(args, ours, theirs):
    """Each server has settings of its own: the type of the answer is compared."""
    if len(args) > 2 and args[1].upper() == b"GET" and not isinstance(theirs, wire.Error):
        return shape(ours), shape(theirs)
    return ours, theirs


NORMALISERS = {
    b"TTL": normal_ttl, b"EXPIRETIME": normal_ttl, b"PTTL": normal_pttl, b"PEXPIRETIME": normal_pttl,
    b"KEYS": normal_keys, b"SCAN": normal_scan, b"RANDOMKEY": normal_shape, b"TIME": normal_shape,
    b"OBJECT": normal_object, b"HRANDFIELD": normal_random_fields, b"MEMORY": normal_memory, b"HELLO": normal_hello, b"CLIENT": normal_client,
    b"COMMAND": normal_command, b"CONFIG": normal_config,
}


def differs(args, ours, theirs):
    """`ours` and `theirs`: (bytes, value). None, or what differs."""
    if ours[0] == theirs[0]:
        return None
    normalise = NORMALISERS.get(args[0].upper())
    if normalise:
        mine, other = normalise(args, ours[1], theirs[1])
        if type(mine) is type(other) and repr(mine) == repr(other):
            return None
    return ours[0], theirs[0]


# --- cases ---

class Step:
    """Commands that belong together, how many replies they get, and whether the pipeline is sent after them."""

    def __init__(self, commands, replies, flush, encode=wire.encode):
        self.commands, self.replies, self.flush = commands, replies, flush
        self.bytes = b"".join(map(encode, commands))


def encode_inline(words):
    """As one types it, with everything quoted."""
    def quote(word):
        return b'"' + b"".join(b"\\x%02x" % byte if byte in b'"\\' or not 32 <= byte < 127 else bytes([byte])
                               for byte in word) + b'"'
    return b" ".join(map(quote, words)) + b"\r\n"


def make_case(seed, with_others):
    rng = random.Random(seed)
    # After a flush a node with L2 reads nothing from L1 until its next beat: in most cases nobody flushes.
    generator = Generator(rng, with_others, with_flushes=rng.random() < 0.1)
    # Behind a write in the same pipeline nothing is read from L1 either: half of the cases send little at a time.
    lengths = rng.choice([[1, 1, 1, 2, 3], [1, 5, 20, 100]])
    steps, left = [], rng.choice(lengths)
    for _ in range(COMMANDS_PER_CASE):
        left -= 1
        flush = left <= 0
        if flush:
            left = rng.choice(lengths)
        steps.append(make_step(rng, generator, flush))
    return steps


def make_step(rng, generator, flush):
    if rng.random() < 0.25:  # a read that may well be a hit
        return Step([rng.choice([[b"GET", generator.draw_key()], [b"MGET", b"k:a", b"k:b"],
                                 [b"TTL", generator.draw_key()], [b"HGETALL", generator.draw_key()],
                                 [b"HGET", generator.draw_key(), b"f"]])], 1, flush)
    if rng.random() < 0.005:  # replies switched off for a while
        quiet = [generator.command() for _ in range(rng.randint(1, 3))]
        quiet = [words for words in quiet if words[0].upper() not in (b"CLIENT", b"RESET", b"HELLO")]
        return Step([[b"CLIENT", b"REPLY", b"OFF"], *quiet, [b"CLIENT", b"REPLY", b"ON"]], 1, flush)
    if rng.random() < 0.005:
        words = [b"SET", generator.draw_key(), b"skipped"]
        return Step([[b"CLIENT", b"REPLY", b"SKIP"], words], 0, flush)
    words = generator.command()
    if words[0].upper() in (b"DBSIZE", b"MEMORY"):
        # Redis counts and weighs keys that ended until somebody meets them; SCAN meets all.
        return Step([[b"SCAN", b"0", b"COUNT", b"100000"], words], 2, flush)
    inline = rng.random() < 0.03 and sum(map(len, words)) < 8000
    return Step([words], 1, flush, encode_inline if inline else wire.encode)


def run_case(node, oracle, proto, steps):
    """The first (step index, difference) or None. Both servers begin empty."""
    node.wait_synced()
    empty(oracle)
    empty(node)
    with node.wire(proto) as ours, oracle.wire(proto) as theirs:
        begin = 0
        for i, step in enumerate(steps):
            if step.flush or i == len(steps) - 1:
                found = run_pipeline(ours, theirs, steps[begin:i + 1])
                if found:
                    return begin + found[0], found[1]
                begin = i + 1
    found = read_at_rest(node, oracle, proto)
    return (len(steps) - 1, found) if found else None


def read_at_rest(node, oracle, proto):
    """What is left, read again and again: from L1 where it is a string or a hash. At rest every tier says the same."""
    node.wait_synced()
    with node.wire(proto) as ours, oracle.wire(proto) as theirs:
        for db in b"0", b"1", b"2":
            for _ in range(3):
                steps = [Step([[b"SELECT", db]], 1, False), *(Step([[b"GET", name]], 1, False) for name in KEYS),
                         *(Step([[b"HGETALL", name]], 1, False) for name in KEYS)]
                found = run_pipeline(ours, theirs, steps)
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


def run_pipeline(ours, theirs, steps):
    data = b"".join(step.bytes for step in steps) + wire.encode([b"ECHO", END])
    theirs.send(data)
    cut = hash(data) % len(data) if len(steps) % 3 == 0 else 0  # some requests arrive in two halves
    ours.send(data[:cut])
    ours.send(data[cut:])
    for i, step in enumerate(steps):
        asked = step.commands[-step.replies:] if step.replies else []
        for words in asked:
            expected = theirs.read_raw()
            try:
                got = ours.read_raw()
            except (wire.Closed, OSError) as error:
                return i, (repr(error).encode(), expected[0])
            found = differs(words, got, expected)
            if found:
                return i, found
    expected = theirs.read_raw()[0]
    try:
        got = ours.read_raw()[0]
    except (wire.Closed, OSError) as error:
        got = repr(error).encode()
    return None if got == expected else (len(steps) - 1, (got, expected))


def shrink(node, oracle, proto, steps, kind):
    """Leaves out what is not needed to show a difference of the same command, for a few seconds."""
    ends_at = time.monotonic() + SHRINK_S
    size = len(steps) // 2
    while size and time.monotonic() < ends_at:
        at = 0
        while at < len(steps) and time.monotonic() < ends_at:
            shorter = steps[:at] + steps[at + size:]
            found = run_case(node, oracle, proto, shorter) if shorter else None
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
              f"    replay: JOURNEY_SEED={seed} JOURNEY_COMMANDS=1 /usr/bin/python3 -m pytest "
              f"'tests/journeys/test_differential.py::test_replies_are_those_of_redis[{where}]'"]
    return "\n".join(lines)


def find_differences(node, oracle, proto, place):
    with_others = place == "with_l2"
    differences, kinds = [], set()
    for seed in range(SEED, SEED + max(1, COMMANDS // COMMANDS_PER_CASE)):
        steps = make_case(seed, with_others)
        found = run_case(node, oracle, proto, steps)
        if not found:
            continue
        kind = kind_of(steps[found[0]])
        if kind in kinds:
            continue
        kinds.add(kind)
        small = shrink(node, oracle, proto, steps[:found[0] + 1], kind)
        found = run_case(node, oracle, proto, small) or found
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
    return module_stage.node("--slowlog-log-slower-than", "-1")


@pytest.fixture(scope="module")
def quiet_with_l2(module_stage):
    return module_stage.node("--slowlog-log-slower-than", "-1", l2=module_stage.redis(*STEADY))


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize("place", ["alone", "with_l2"])
def test_replies_are_those_of_redis(request, oracle, place, proto):
    node = request.getfixturevalue("quiet_" + place)
    print(f"seed {SEED}, {COMMANDS} commands")
    differences = find_differences(node, oracle, proto, place)
    assert not differences, "\n\n".join(differences)
    assert node.process.alive()
    if place == "with_l2" and not REHEARSAL:
        line = 'terrace_tier_requests_total{tier="l1",result="hit"} '  # INFO's count begins anew at CONFIG RESETSTAT
        hits = int(node.admin("/metrics")[1].split(line)[1].split()[0])
        print(f"{hits} hits in L1")
        assert hits > COMMANDS / 100, "hardly a reply came from L1: the comparison proves little"


def test_a_planted_difference_is_found_and_made_small(oracle, module_stage):
    """The test of the test: a server whose proto-max-bulk-len is smaller answers one SETRANGE otherwise."""
    other = module_stage.redis(*STEADY, "--proto-max-bulk-len", "1mb")
    steps = make_case(7, with_others=False)
    steps.insert(100, Step([[b"SETRANGE", b"k:a", b"1048576", b"x"]], 1, False))
    steps.insert(50, Step([[b"DEL", b"k:a"]], 1, False))
    steps.insert(101, Step([[b"RESET"], [b"DEL", b"k:a"]], 2, False))
    found = run_case(other, oracle, 2, steps)
    assert found, "a planted difference was not found"
    small = shrink(other, oracle, 2, steps[:found[0] + 1], kind_of(steps[found[0]]))
    assert len(small) <= 3, describe(7, small, found[1], "alone-2")
