# SPDX-License-Identifier: BSD-3-Clause
"""What a node's L1 holds is in L2, page by page, for nodes that come: beyond the hot list, and whole or not named."""

import re
import signal
import struct

import pytest
from harness import ROOT, documented_rules, log_lines, until
from test_hot import read

pytestmark = pytest.mark.own

DB = 15
KEYS = 600
QUICK = ("--warm-deadline", "60s", "--warm-rate", "100000")  # nobody waits for it here


def keys():
    return [f"held:{i}" for i in range(KEYS)]


def merges(node):
    return next(int(line.split()[1]) for line in node.admin("/metrics")[1].splitlines() if line.startswith("terrace_hot_merges_total"))


def read_twice(node, names):
    """The first time they are misses. Then all of it is in the node's own list."""
    with node.wire() as conn:
        read(conn, {name: 2 for name in names})
        before = merges(node)
        until(lambda: conn.ask("CACHE.HOT", "1") and merges(node) >= before + 2, 15, "it has counted them")  # who looks need not wait for a second


def told(board, node):
    """(hits, total, writing, pages, keys) of the node's list in L2."""
    text = board.hget("terrace:hot", node)
    assert text[:4] == b"THL2"
    total, _, _, _, hits, writing, pages, _, held = struct.unpack("<QQIIQQIIQ", text[16:72])
    return hits / 256, total / 256, writing, pages, held


def place(board, node, writing):
    return board.hgetall(f"terrace:hot:held:{node}:{writing & 1}")


def leave_all(stage, l2, *flags):
    """A node that has served all keys, of which its sketch knows a few, and has gone: its name in L2."""
    l2.client().mset({name: "v" * 50 for name in keys()})
    before = set(names(l2))
    node = stage.node("--hot-keys", "20", *flags, l2=l2)
    read_twice(node, keys())
    assert node.process.end() == 0
    [name] = set(names(l2)) - before
    return name


def names(l2):
    return [name.decode() for name in l2.client(db=DB).hkeys("terrace:hot")]


def test_a_node_that_goes_leaves_all_that_it_held(stage):
    l2 = stage.redis()
    name = leave_all(stage, l2)
    board = l2.client(db=DB)
    hits, total, writing, pages, held = told(board, name)
    assert pages == 1 and writing and held >= KEYS and 0 < hits <= total
    found = place(board, name, writing)
    assert set(found) == {b"0"} and found[b"0"][:4] == b"THL2"
    rows, = struct.unpack("<I", found[b"0"][4:8])
    assert KEYS - 20 <= rows <= KEYS and struct.unpack("<Q", found[b"0"][48:56]) == (writing,)
    assert board.pttl(f"terrace:hot:held:{name}:{writing & 1}") > 3_000_000
    assert board.zrange("terrace:hot:held", 0, -1) == [name.encode()]


def test_a_node_writes_them_while_it_serves_and_again_when_they_are_others(stage):
    l2 = stage.redis()
    l2.client().mset({name: "v" * 50 for name in keys()})
    board = l2.client(db=DB)
    node = stage.node("--hot-keys", "20", l2=l2)
    read_twice(node, keys()[:KEYS // 2])
    until(lambda: int(node.info()["hot_held_keys"]) > KEYS // 2 - 30, 40, "the first ones are there")
    [name] = names(l2)
    _, _, writing, pages, held = until(lambda: told(board, name) if told(board, name)[3] else None, 20, "the list names them")
    assert pages == 1 and held >= KEYS // 2 and int(node.info()["hot_held_bytes"]) == len(place(board, name, writing)[b"0"])
    assert 'terrace_hot_pages_total{what="written"} 1' in node.admin("/metrics")[1]
    read_twice(node, keys()[KEYS // 2:])
    assert node.process.end() == 0
    _, _, later, pages, held = told(board, name)
    assert later != writing and (later ^ writing) & 1 and held >= KEYS, "in the other place"
    assert place(board, name, writing), "who reads the former ones is not disturbed"
    assert 0 < board.pttl(f"terrace:hot:held:{name}:{writing & 1}") <= 60_000, "for a while"


def test_a_node_with_no_more_than_the_documented_rights_leaves_them(stage):
    l2 = stage.redis()
    l2.client().execute_command("ACL", "SETUSER", "terrace", "reset", "on", ">secret", *documented_rules())
    l2.client().mset({name: "v" for name in keys()})
    node = stage.node("--hot-keys", "20", l2=f"redis://terrace:secret@127.0.0.1:{l2.port}")
    read_twice(node, keys())
    assert node.process.end() == 0
    [name] = names(l2)
    assert told(l2.client(db=DB), name)[3] == 1


def test_redis_memory_is_bounded_by_a_number_of_nodes(stage):
    """The place of one that has gone is taken; while all live, one more writes none, and its list says so."""
    l2 = stage.redis()
    board = l2.client(db=DB)
    now_ms = int(board.time()[0]) * 1000
    others = {f"{i:016x}": now_ms + 3_600_000 for i in range(16)}
    board.zadd("terrace:hot:held", others)
    name = leave_all(stage, l2)
    assert told(board, name)[2:4] == (0, 0) and not board.keys("terrace:hot:held:*")
    board.zadd("terrace:hot:held", {f"{3:016x}": now_ms - 100_000})
    board.hset(f"terrace:hot:held:{3:016x}:1", "0", "of one that has gone")
    name = leave_all(stage, l2)
    assert told(board, name)[3] == 1
    assert {key.decode() for key in board.zrange("terrace:hot:held", 0, -1)} == set(others) - {f"{3:016x}"} | {name}
    assert [key.decode()[:-2] for key in board.keys("terrace:hot:held:*")] == [f"terrace:hot:held:{name}"]


def test_what_strangers_left_in_their_place_is_removed(stage):
    l2 = stage.redis()
    board = l2.client(db=DB)
    board.set("terrace:hot:held", "mine")
    name = leave_all(stage, l2)
    assert board.type("terrace:hot:held") == b"zset" and told(board, name)[3] == 1


def test_a_list_that_names_pages_is_left_whatever_strangers_put_beside_it(stage):
    board = stage.redis().client(db=DB)
    board.set("terrace:hot:held", "mine")
    node = f"{1:016x}"
    script = (ROOT / "tiers" / "scripts" / "hot.lua").read_text()
    keys_of = ["terrace:hot", "terrace:hot:at", f"terrace:hot:held:{node}:0", f"terrace:hot:held:{node}:1", "terrace:hot:held"]
    board.hset(keys_of[3], "0", "the former page")
    board.pexpire(keys_of[3], 3_600_000)
    assert board.eval(script, 5, *keys_of, node, "a list", 3_600_000, 64, 60_000, "1") == 0
    assert board.hgetall("terrace:hot") == {node.encode(): b"a list"} and not board.exists("terrace:hot:held")
    assert 0 < board.pttl(keys_of[3]) <= 60_000, "and what it names no more goes"


def test_pages_that_the_list_does_not_name_go_soon_and_so_does_what_says_whose_there_are(stage):
    board = stage.redis().client(db=DB)
    hot, held = ((ROOT / "tiers" / "scripts" / name).read_text() for name in ("hot.lua", "held.lua"))
    nodes, node = "terrace:hot:held", f"{1:016x}"
    places = [f"{nodes}:{node}:{place}" for place in (0, 1)]
    for place in places:
        assert board.eval(held, 2, place, nodes, "0", "a page", 60_000, node, 16) == 1
        assert 0 < board.pttl(place) <= 60_000 and 0 < board.pttl(nodes) <= 60_000, "no list names it yet"

    def write(names_pages):
        return board.eval(hot, 5, "terrace:hot", "terrace:hot:at", *places, nodes, node, "a list", 3_600_000, 64, 60_000, names_pages)
    write("1")
    assert board.pttl(places[0]) > 60_000 and board.pttl(nodes) > 60_000 >= board.pttl(places[1])
    assert board.eval(held, 2, places[1], nodes, "0", "a page", 60_000, node, 16) == 1
    assert board.pttl(nodes) > 60_000, "what the list names is there still"
    write("0")  # it names all that L1 holds
    assert all(0 < board.pttl(place) <= 60_000 for place in places)


def test_settings_that_are_read_again_while_a_node_drains_do_not_keep_its_pages(stage, tmp_path):
    l2 = stage.redis()
    l2.client().mset({name: "v" * 50 for name in keys()})
    conf = tmp_path / "node.conf"
    conf.write_text("hot-keys = 20\n")
    node = stage.node(conf, "--drain-delay", "1s", l2=l2)
    read_twice(node, keys())
    conf.write_text("hot-keys = 20\n[namespace other]\nprefix = other:\nsie = 5s\n")
    node.process.signal(signal.SIGTERM)
    until(lambda: log_lines(node, "draining"), 10, "it drains")
    node.process.signal(signal.SIGHUP)
    until(lambda: log_lines(node, "setting"), 10, "they are read: that sie has no effect there is said")
    assert node.process.wait() == 0
    [name] = names(l2)
    assert told(l2.client(db=DB), name)[3] == 1


def test_without_hot_keys_nothing_is_left(stage):
    l2 = stage.redis()
    l2.client().mset({name: "v" for name in keys()})
    node = stage.node("--hot-keys", "0", l2=l2)
    with node.wire() as conn:
        read(conn, {name: 1 for name in keys()})
    assert node.process.end() == 0
    assert not l2.client(db=DB).keys("terrace:hot*")


def warmed(node):
    """What /readyz says when it says 200, and when all of the lists was tried."""
    until(lambda: node.admin("/readyz")[0] == 200, 30, "it is ready", every_s=0.02)
    until(lambda: log_lines(node, "warmed"), 20, "all was tried")
    return node.admin("/readyz")[1].splitlines()[1]


def pages_of(node):
    return {what: int(count) for what, count in re.findall(r'terrace_hot_pages_total\{what="(\w+)"\} (\d+)', node.admin("/metrics")[1])}


def test_a_node_that_comes_has_what_the_lists_do_not_name(stage):
    l2 = stage.redis()
    leave_all(stage, l2)
    node = stage.node(*QUICK, l2=l2)
    said = warmed(node)
    assert re.fullmatch(r"warm: ([89]\d|100) % of hot mass after \d+\.\d s", said), said
    read_twice(node, keys())
    info = node.info("everything")
    assert int(info["l1_hits"]) >= 2 * KEYS and int(info["l1_misses"]) == 0
    assert pages_of(node)["read"] == 1


def test_what_different_nodes_held_is_added_up(stage):
    """As behind clients that send each key to one node."""
    l2 = stage.redis()
    l2.client().mset({name: "v" * 50 for name in keys()})
    for part in (keys()[::2], keys()[1::2]):
        node = stage.node("--hot-keys", "20", "--warm-target", "0", "--warm-rate", "0", l2=l2)
        read_twice(node, part)
        assert node.process.end() == 0
    comes = stage.node(*QUICK, l2=l2)
    assert warmed(comes).startswith("warm: ")
    assert comes.l1_items() >= KEYS and pages_of(comes)["read"] == 2


def test_a_page_that_is_missing_broken_or_of_another_writing_is_noticed_and_hurts_nobody(stage):
    l2 = stage.redis()
    board = l2.client(db=DB)
    name = leave_all(stage, l2)
    _, _, writing, _, _ = told(board, name)
    key = f"terrace:hot:held:{name}:{writing & 1}"
    page = board.hget(key, "0")
    for bytes_there in (None, page[:-1] + bytes([page[-1] ^ 1]), b"x" * 200_000):
        board.hdel(key, "0") if bytes_there is None else board.hset(key, "0", bytes_there)
        node = stage.node(*QUICK, l2=l2)
        warmed(node)
        assert pages_of(node)["malformed"] == 1 and pages_of(node)["read"] == 0
        assert 0 < node.l1_items() <= 40, "what the list names"
        node.process.kill()
    # A list of one writing beside pages of another: its number is in its head, under its sum.
    other = leave_all(stage, l2, "--warm-rate", "0")
    _, _, later, _, _ = told(board, other)
    board.hset(key, "0", board.hget(f"terrace:hot:held:{other}:{later & 1}", "0"))
    board.hdel("terrace:hot", other)
    board.zrem("terrace:hot:at", other)
    node = stage.node(*QUICK, l2=l2)
    warmed(node)
    assert pages_of(node)["malformed"] == 1 and pages_of(node)["read"] == 0


def test_a_node_with_less_memory_reads_no_more_than_it_can_hold(stage):
    l2 = stage.redis()
    l2.client().mset({name: "v" * 10000 for name in keys()})
    large = stage.node("--hot-keys", "20", "--memory", "64mb", l2=l2)
    read_twice(large, keys())
    assert large.process.end() == 0
    asked = l2.client().info("commandstats").get("cmdstat_get", {}).get("calls", 0)
    small = stage.node(*QUICK, "--memory", "2mb", l2=l2)
    said = warmed(small)
    assert "that can be kept here" in said, said
    asked = l2.client().info("commandstats")["cmdstat_get"]["calls"] - asked
    assert asked < KEYS / 2, "2 MiB are no 200 of them, and 64 MiB hold all"
