# SPDX-License-Identifier: BSD-3-Clause
"""A node that comes is ready when it holds what the others' clients read most, by the hot lists that these leave in L2."""

import re
import struct
import threading

import pytest
from envelopes import xxh64
from harness import log_lines, stand_still, until
from libterrace import Client
from test_drain import weight_of

pytestmark = pytest.mark.own

KEYS = 200
COORDINATION_DB = 15


def keys():
    return [f"hot:{i}" for i in range(KEYS)]


def read(node, names, times):
    with node.client().pipeline(transaction=False) as batch:
        for _ in range(times):
            for name in names:
                batch.get(name)
        batch.execute()


def leave_a_list(stage, l2, value="v" * 100, *flags):
    """A node whose clients read all keys, the first ones the most often, and that goes."""
    l2.client().mset({name: value for name in keys()})
    gone = stage.node(*flags, l2=l2)
    read(gone, keys(), 50)
    read(gone, keys()[:20], 500)
    with gone.wire(proto=3) as conn:

        def knows_all():
            read(gone, keys(), 10)  # of quick reads it counts one of several
            return len(conn.ask("CACHE.HOT", str(KEYS))) == KEYS
        until(knows_all, 20, "it knows what is hot", every_s=0.1)
    assert gone.process.end() == 0
    assert l2.client(db=COORDINATION_DB).hlen("terrace:hot") >= 1, "it left its list"


@pytest.fixture(scope="module")
def l2(module_stage):
    server = module_stage.redis()
    leave_a_list(module_stage, server)
    return server


def ready(node, deadline_s=20):
    """What /readyz says when it says 200."""
    code, text = until(lambda: (lambda found: found if found[0] == 200 else None)(node.admin("/readyz")), deadline_s,
                       "the node is ready", every_s=0.02)
    assert code == 200 and text.startswith("ready\n")
    return text.splitlines()[1]


def mass(text):
    return int(re.search(r": (\d+) % of hot mass", text).group(1))


def start_at_once(stage, *flags, l2):
    """Not waited for but by its admin port."""
    node = stage.node_not_started(*flags, l2=l2)
    node.launch()
    until(lambda: node.admin("/livez")[0] == 200, 15, "it listens")
    return node


# --- ready ---

def test_the_first_node_is_ready_at_once(stage):
    node = stage.node(l2=stage.redis())
    assert ready(node) == "nothing to warm: no other node has left a hot list in L2"
    assert node.info("warming")["join_state"] == "nothing"
    until(lambda: float(node.info("warming")["weight"]) == 1, 5, "it has a full share")


def test_a_node_without_l2_is_ready_at_once(stage):
    node = stage.node()
    assert ready(node) == "nothing to warm: this node is alone"
    assert float(node.info("warming")["weight"]) == 1


def test_a_node_that_comes_has_what_the_one_before_it_was_asked_for(stage, l2):
    node = stage.node(l2=l2)
    said = ready(node)
    assert re.fullmatch(r"warm: \d+ % of hot mass after \d+\.\d s", said) and mass(said) >= 80, said
    until(lambda: float(node.info("warming")["join_hot_mass"]) == 1, 10, "what is left of the lists comes, too")
    until(lambda: log_lines(node, "warmed"), 5, "all was tried")
    read(node, keys(), 1)
    info = node.info("everything")
    assert int(info["l1_hits"]) == KEYS and int(info["l1_misses"]) == 0, "warming is no read of a client"


def test_a_node_that_warms_is_not_ready_and_has_no_share(stage, l2):
    node = start_at_once(stage, "--warm-rate", "1", "--warm-deadline", "60s", l2=l2)
    until(lambda: "warming: " in node.admin("/readyz")[1], 10, "it says what it does", every_s=0.02)
    code, text = node.admin("/readyz")
    assert code == 503 and re.fullmatch(r"not ready\nwarming: \d+ % of hot mass after \d+ ms; ready at 80 %, or after 60000 ms\n", text), text
    until(node.answers_ping, 5, "whoever comes all the same is served")
    node.wait_synced()
    with node.wire() as conn:
        assert conn.ask("GET", "hot:0") == b"v" * 100
    assert weight_of(node, seen_by=node) == 0
    node.client().config_set("warm-deadline", "1ms")
    said = ready(node)
    assert said.startswith("deadline: ") and mass(said) < 80


def test_who_turns_warming_off_does_not_wait_for_the_deadline(stage, l2):
    node = start_at_once(stage, "--warm-rate", "1", "--warm-deadline", "1h", l2=l2)
    until(lambda: re.search(r"warming: [1-9]", node.admin("/readyz")[1]), 10, "it warms", every_s=0.02)
    node.client().config_set("warm-rate", "0")
    assert ready(node) == "nothing to warm: warm-rate is 0"


def test_at_the_deadline_a_node_is_ready_and_says_how_far_it_came(stage, l2):
    node = start_at_once(stage, "--warm-rate", "20", "--warm-deadline", "700ms", l2=l2)
    said = ready(node)
    assert re.fullmatch(r"deadline: \d+ % of hot mass after \d+\.\d s", said) and mass(said) < 80, said
    assert node.info("warming")["join_state"] == "late"
    node.client().config_set("warm-rate", "10000")
    until(lambda: float(node.info("warming")["join_hot_mass"]) == 1, 10, "the rest follows")
    assert ready(node) == said, "what was so then"


def test_without_a_target_or_without_warming_a_node_is_ready_at_once(stage, l2):
    waits_not = stage.node("--warm-target", "0", l2=l2)
    assert ready(waits_not).startswith("warm: ")
    until(lambda: float(waits_not.info("warming")["join_hot_mass"]) == 1, 10, "it warms all the same")
    warms_not = stage.node("--warm-rate", "0", l2=l2)
    assert ready(warms_not) == "nothing to warm: warm-rate is 0"
    assert warms_not.l1_items() == 0


def test_what_l2_does_not_have_any_more_counts_for_nothing(stage):
    l2 = stage.redis()
    leave_a_list(stage, l2)
    l2.client().delete(*keys()[:20])
    l2.client().rpush("hot:0", "a list is nothing that L1 keeps")
    said = ready(stage.node(l2=l2))
    assert re.fullmatch(r"warm: \d+ % of hot mass \(of the \d+ % that can be kept here\) after \d+\.\d s", said), said
    l2.client().flushall()
    leave_a_list(stage, l2)
    l2.client().delete(*keys())
    assert ready(stage.node(l2=l2)) == "nothing to warm: of what the others' hot lists name nothing can be kept here"


def test_where_memory_is_less_than_what_is_hot_the_target_is_of_what_fits(stage):
    l2 = stage.redis()
    leave_a_list(stage, l2, "v" * 30_000, "--memory", "64mb")
    node = stage.node("--memory", "2mb", l2=l2)
    said = ready(node)
    assert said.startswith("warm: ") and "that can be kept here" in said, said
    assert 0 < node.l1_items() < KEYS


def list_of(names, count, written_at_ms, pages=0):
    """As tiers/hot_list.h has it; counts in 256ths."""
    rows = b"".join(struct.pack("<HBBQQ", len(name), 0, 0, count, 0) + name.encode() for name in names)
    total = count * len(names)
    head = b"THL2" + struct.pack("<IQQQIIQQIIQQQ", len(names), written_at_ms, total, 1000, len(rows), 0, total, 2 * pages, pages, 0, 0, 0, count)
    return head + struct.pack("<Q", xxh64(head + rows)) + rows


@pytest.mark.parametrize("count", [256, 0])
def test_where_nobody_has_read_anything_of_late_nobody_waits_for_the_deadline(stage, count):
    """What was read fades: after a quarter of an hour without a read all counts are 0."""
    l2 = stage.redis()
    l2.client().mset({name: "v" for name in keys()})
    board, name = l2.client(db=COORDINATION_DB), f"{1:016x}"
    now_ms = int(board.time()[0]) * 1000
    board.hset("terrace:hot", name, list_of(keys(), count, now_ms))
    board.zadd("terrace:hot:at", {name: now_ms})
    node = stage.node("--warm-deadline", "120s", l2=l2)
    said = ready(node)
    assert said.startswith("warm: ") and mass(said) >= 80, said
    until(lambda: log_lines(node, "warmed"), 10, "all was tried")
    assert node.l1_items() >= KEYS


@pytest.mark.parametrize("pages, hours", [(0, 2), (1, -2)])
def test_lists_that_are_hours_from_the_clock_are_called_so(stage, pages, hours):
    """As where those of two machines are."""
    l2 = stage.redis()
    board, name = l2.client(db=COORDINATION_DB), f"{1:016x}"
    now_ms = int(board.time()[0]) * 1000
    board.hset("terrace:hot", name, list_of(keys(), 256, now_ms + hours * 3_600_000, pages))
    board.zadd("terrace:hot:at", {name: now_ms})
    assert ready(stage.node("--warm-deadline", "120s", l2=l2)) == "nothing to warm: the hot lists in L2 are more than an hour from this node's clock"


def test_lists_that_are_none_are_stepped_over(stage):
    l2 = stage.redis()
    board = l2.client(db=COORDINATION_DB)
    for i in range(200):
        board.hset("terrace:hot", f"liar{i}", b"THL1" + bytes([255] * i * 50))
        board.zadd("terrace:hot:at", {f"liar{i}": 9e15})
    assert ready(stage.node(l2=l2)).startswith("nothing to warm: ")


def test_lists_of_another_type_are_no_lists(stage):
    l2 = stage.redis()
    l2.client(db=COORDINATION_DB).set("terrace:hot", "x")
    l2.client(db=COORDINATION_DB).set("terrace:hot:at", "x")
    assert ready(stage.node(l2=l2)) == "nothing to warm: the hot lists in L2 cannot be read"


def test_all_nodes_that_start_at_once_are_ready_and_warm(stage, l2):
    nodes = [start_at_once(stage, l2=l2) for _ in range(3)]
    for node in nodes:
        assert ready(node).startswith("warm: ")


def test_a_node_whose_l2_hangs_while_it_warms_is_ready_at_the_deadline(stage):
    l2 = stage.redis()
    leave_a_list(stage, l2)
    node = start_at_once(stage, "--warm-rate", "5", "--warm-deadline", "2s", l2=l2)
    until(lambda: "warming: " in node.admin("/readyz")[1], 10, "it warms", every_s=0.02)
    stand_still(l2.process)
    assert ready(node).startswith("deadline: ")
    stand_still(l2.process, False)
    node.client().config_set("warm-rate", "10000")
    until(lambda: float(node.info("warming")["join_hot_mass"]) == 1, 20, "the rest follows when it is back")


def test_a_node_that_is_told_to_end_while_it_warms_ends(stage, l2):
    node = start_at_once(stage, "--warm-rate", "5", "--warm-deadline", "60s", l2=l2)
    until(lambda: "warming: " in node.admin("/readyz")[1], 10, "it warms", every_s=0.02)
    assert node.process.end() == 0


# --- weight ---

def test_libterrace_gives_a_node_that_is_not_warm_the_share_it_asks_for(stage, l2):
    """PINGs are no reads: the weight changes with what the node brings by itself only, a key a second."""
    warm = stage.node(l2=l2)
    ready(warm)
    ended = threading.Event()

    def keep_reading():
        while not ended.is_set():
            read(warm, keys(), 5)

    reader = threading.Thread(target=keep_reading)
    reader.start()
    try:
        cold = start_at_once(stage, "--warm-rate", "1", "--warm-deadline", "1ms", "--slow-start", "1h", l2=l2)
        until(lambda: weight_of(warm, seen_by=warm) == 1, 10, "the warm one has a full share")
        until(lambda: 0 < (weight_of(cold, seen_by=warm) or 0) < 1, 20, "the cold one has a part")
        with Client(f"endpoints=127.0.0.1:{warm.port}", "timeout=10s&discover=nodes&discover-every=50ms&strategy=round-robin") as client:
            def one(node):
                return next((one for one in client.endpoints() if one.address.endswith(f":{node.port}")), None)

            until(lambda: client.ping() and one(cold) and 0 < one(cold).weight < 1, 10, "the client knows the weight")
            before = one(cold).requests, one(warm).requests, one(cold).weight
            for _ in range(2000):
                assert client.ping()
            to_cold, to_warm = one(cold).requests - before[0], one(warm).requests - before[1]
            least, most = sorted([before[2], one(cold).weight])  # what it holds grows while they are sent
            assert 0.1 <= least and most < 1
            share = to_cold / (to_cold + to_warm)
            assert least / (1 + least) - 0.05 < share < most / (1 + most) + 0.05, (to_cold, to_warm, least, most)
    finally:
        ended.set()
        reader.join()


def test_a_node_that_hits_as_the_others_do_has_a_full_share(stage, l2):
    nodes = [stage.node("--slow-start", "1h", l2=l2) for _ in range(2)]
    for node in nodes:
        ready(node)

    def both_read():
        for node in nodes:
            read(node, keys(), 2)
        return all(weight_of(node, seen_by=nodes[0]) == 1 for node in nodes)

    until(both_read, 20, "both have a full share")
