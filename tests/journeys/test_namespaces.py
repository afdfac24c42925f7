# SPDX-License-Identifier: BSD-3-Clause
"""Namespaces: prefixes with contracts, budgets and policies of their own, and what changes while the node runs."""

import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest

from envelopes import LZ4, RAW, unseal
from harness import ROOT, SLACK_S, TERRACED, until

pytestmark = pytest.mark.own

TWO = """
memory = 40mb
[namespace noisy]
prefix = n:
memory = 2mb
[namespace quiet]
prefix = n:q:
memory = 8mb
policy = lfu
"""


def configured(stage, text, *flags, l2=None):
    """A node that reads a file; the file is node.config."""
    path = stage.folder / "node.conf"
    path.write_text(text)
    node = stage.node(str(path), "--memory", "40mb", *flags, l2=l2)
    node.config = path
    return node


def reload(node, text, deadline_s=10.0):
    """Writes the file and waits until the node has said what became of it: the line of its log."""
    log = pathlib.Path(node.process.log_path)
    seen = log.stat().st_size
    node.config.write_text(text)
    node.process.signal(signal.SIGHUP)

    def said():
        return re.search(r"^.*event=(?:reloaded|reload_refused).*$", log.read_bytes()[seen:].decode(), re.M)

    return until(said, deadline_s, "the log tells of the reload").group(0)


def namespaces(node):
    """Name to fields, out of INFO."""
    lines = {name[3:]: value for name, value in node.info("namespaces").items() if name.startswith("ns_")}
    return {name: dict(pair.split("=", 1) for pair in value.split(",")) for name, value in lines.items()}


# --- what belongs where ----------------------------------------------------------------------------------------------


def test_a_flood_in_one_namespace_evicts_nobody_else(stage):
    node = configured(stage, TWO)
    client = node.client()
    for i in range(500):
        client.mset({f"k:{i}": "kept", f"n:q:{i}": "kept"})
    pipe = client.pipeline(transaction=False)
    for i in range(20000):
        pipe.set(f"n:{i}", "x" * 1000)
    pipe.execute()
    assert client.mget([f"k:{i}" for i in range(500)]) == [b"kept"] * 500
    assert client.mget([f"n:q:{i}" for i in range(500)]) == [b"kept"] * 500
    seen = namespaces(node)
    assert int(seen["noisy"]["evictions"]) > 15000
    assert int(seen["noisy"]["bytes"]) <= 2 << 20
    assert seen["quiet"]["evictions"] == seen["default"]["evictions"] == "0"
    assert seen["quiet"]["policy"] == "lfu" and seen["quiet"]["prefix"] == "n:q:"
    assert int(seen["default"]["bytes_max"]) == 30 << 20
    assert int(seen["quiet"]["hits"]) == 500


def test_all_namespaces_are_one_keyspace(stage):
    client = configured(stage, TWO).client()
    names = {f"{prefix}{i}".encode() for prefix in ("k:", "n:", "n:q:") for i in range(300)}
    client.mset({name: name for name in names})
    assert client.dbsize() == 900
    assert set(client.keys()) == names
    assert set(client.keys("n:q:1*")) == {name for name in names if name.startswith(b"n:q:1")}
    found, cursor = [], None
    while cursor != 0:
        cursor, some = client.scan(cursor or 0, count=7)
        assert cursor < 1 << 63
        found += some
    assert set(found) == names and len(found) == 900
    assert {client.randomkey().split(b":")[0:-1][-1] for _ in range(200)} == {b"k", b"n", b"q"}
    assert client.info("keyspace")["db0"]["keys"] == 900
    client.execute_command("SWAPDB", 0, 3)
    assert client.dbsize() == 0
    assert client.info("keyspace")["db3"]["keys"] == 900


def test_commands_of_many_keys_span_namespaces(stage):
    client = configured(stage, TWO).client()
    client.mset({"x": "1", "n:x": "2", "n:q:x": "3"})
    assert client.mget("x", "n:x", "n:q:x", "n:none") == [b"1", b"2", b"3", None]
    assert client.msetnx({"y": "1", "n:x": "taken", "n:q:y": "1"}) is False
    assert client.exists("y", "n:q:y") == 0
    client.rename("x", "n:q:moved")
    assert client.get("n:q:moved") == b"1" and client.get("x") is None
    assert client.execute_command("COPY", "n:q:moved", "copy") == 1
    assert client.delete("n:x", "n:q:x", "n:q:moved", "copy", "none") == 4
    assert client.dbsize() == 0
    client.mset({"x": "1", "n:x": "2"})
    client.flushdb()
    assert client.dbsize() == 0


def test_msetnx_over_namespaces_has_one_winner(stage):
    node = configured(stage, TWO)
    rounds, racers = 200, 4
    barrier = threading.Barrier(racers)
    wins = [[] for _ in range(racers)]

    def race(number):
        client = node.client()
        for i in range(rounds):
            keys = [f"k:{i}", f"n:{i}", f"n:q:{i}"]
            barrier.wait()
            won = client.msetnx({key: number for key in (keys if number % 2 else keys[::-1])})
            wins[number].append(won)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(racers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client = node.client()
    for i in range(rounds):
        winners = [number for number in range(racers) if wins[number][i]]
        assert len(winners) == 1
        assert client.mget(f"k:{i}", f"n:{i}", f"n:q:{i}") == [b"%d" % winners[0]] * 3


# --- contracts -------------------------------------------------------------------------------------------------------

BOUNDS = """
mode = bounded 1s
[namespace fast]
prefix = fast:
mode = bounded 200ms
memory = 4mb
"""


def served_until(node, key, began):
    """Asks for the key until L2 is waited for: when the last prompt answer was asked for, seconds after `began`."""
    last = 0.0
    with node.wire() as conn:
        conn.sock.settimeout(0.15)
        while True:
            asked = time.monotonic()
            try:
                if conn.ask("GET", key) != b"v":
                    return last
            except OSError:
                return last
            last = asked - began


def test_each_namespace_keeps_its_own_bound(stage):
    redis_server = stage.redis()
    node = configured(stage, BOUNDS, l2=redis_server)
    client = node.client()
    client.mset({"fast:k": "v", "slow:k": "v"})

    def both_are_hits():
        before = namespaces(node)
        client.mget("fast:k", "slow:k")
        after = namespaces(node)
        return all(int(after[name]["hits"]) > int(before[name]["hits"]) for name in ("fast", "default"))

    until(both_are_hits, 5.0, "both are in L1")
    redis_server.process.signal(signal.SIGSTOP)
    stat = pathlib.Path(f"/proc/{redis_server.pid}/stat")
    until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T", 5.0, "Redis stands")
    began = time.monotonic()
    ends = {}
    threads = [threading.Thread(target=lambda key=key: ends.__setitem__(key, served_until(node, key, began)))
               for key in ("fast:k", "slow:k")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    redis_server.process.signal(signal.SIGCONT)
    # The horizon is older than the stop, so what is asked later than T after it is no hit: to the millisecond.
    assert ends["fast:k"] <= 0.201
    assert 0.201 < ends["slow:k"] <= 1.001


def test_ttl_limits_life_in_l1_and_nothing_else(stage):
    redis_server = stage.redis()
    node = configured(stage, "[namespace short]\nprefix = s:\nttl = 300ms\nmemory = 4mb\n", l2=redis_server)
    client, stranger = node.client(), redis_server.client()
    stranger.set("s:k", "v")
    stranger.set("s:px", "v", px=100_000)
    assert client.get("s:k") == b"v" and client.get("s:px") == b"v"
    # Whatever L1 keeps for how long: TTL is what L2 says.
    assert client.ttl("s:k") == -1 and 90 < client.ttl("s:px") <= 100
    redis_server.client().config_resetstat()
    began = time.monotonic()

    def read_again():
        assert client.get("s:k") == b"v"
        return redis_server.calls("pttl") > 0  # in front of each GET of ours; beats GET, too

    until(read_again, 5.0, "the value is asked for again")
    assert time.monotonic() - began < 0.3 + SLACK_S
    assert stranger.ttl("s:k") == -1


# --- changes while it runs -------------------------------------------------------------------------------------------


def test_settings_change_in_place(stage):
    node = configured(stage, TWO)
    client = node.client()
    client.set("n:1", "v")
    assert "event=reloaded" in reload(node, TWO.replace("memory = 8mb", "memory = 6mb\nmode = bounded 300ms"))
    seen = namespaces(node)
    assert seen["quiet"]["bytes_max"] == str(6 << 20) and seen["default"]["bytes_max"] == str(32 << 20)
    assert client.get("n:1") == b"v"
    line = reload(node, TWO.replace("memory = 8mb", "memory = 60mb"))
    assert "event=reload_refused" in line and "must leave at least 1mb" in line
    assert re.search(r"\.conf:\d+: the namespaces' memory", line), line
    line = reload(node, TWO + "write = beside\n")
    assert "event=reload_refused" in line
    assert f".conf:{TWO.count(chr(10)) + 1}: option 'write': argument must be 'through', 'around' or 'behind'" in line
    line = reload(node, TWO + "prefix = other:\n")
    assert f".conf:{TWO.count(chr(10)) + 1}: option 'prefix' is there already, in line " in line
    assert namespaces(node)["quiet"]["bytes_max"] == str(6 << 20)
    with pytest.raises(Exception, match="must leave at least 1mb"):
        client.config_set("memory", "8mb")


OTHERS = """
[namespace quiet]
prefix = n:q:
memory = 8mb
[namespace letters]
prefix = k
memory = 8mb
"""


class Load:
    """Clients that write and read their own keys until told to end; every read must see the last write."""

    def __init__(self, node, prefixes):
        self.node, self.ended, self.wrong, self.turns = node, threading.Event(), [], [0] * len(prefixes)
        self.threads = [threading.Thread(target=self.run, args=(i, prefix)) for i, prefix in enumerate(prefixes)]
        for thread in self.threads:
            thread.start()

    def run(self, number, prefix):
        client = self.node.client()
        try:
            while not self.ended.is_set():
                turn = self.turns[number]
                key = f"{prefix}load:{turn % 50}"
                client.set(key, turn)
                got = client.get(key)
                if got != b"%d" % turn:
                    self.wrong.append((key, turn, got))
                self.turns[number] += 1
        except Exception as error:  # pylint: disable=broad-except
            self.wrong.append(error)

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()


@pytest.mark.parametrize("with_l2", [False, True], ids=["alone", "with_l2"])
def test_namespaces_come_and_go_under_load(stage, with_l2):
    node = configured(stage, TWO, l2=stage.redis() if with_l2 else None)
    client = node.client()
    names = [f"{prefix}{i}" for prefix in ("k:", "n:", "n:q:") for i in range(500)]
    client.mset({name: name for name in names})
    load = Load(node, ["k:", "n:", "n:q:", "x:"])
    for turn in range(10):
        before = list(load.turns)
        assert "event=reloaded" in reload(node, OTHERS if turn % 2 == 0 else TWO)
        until(lambda: all(a > b for a, b in zip(load.turns, before)) or load.wrong, 10.0, "all clients go on")
    load.end()
    assert not load.wrong
    assert client.mget(names) == [name.encode() for name in names]
    assert set(namespaces(node)) == {"default", "noisy", "quiet"}
    if not with_l2:
        assert client.dbsize() == len(names) + 200


def test_an_l2_write_is_seen_whatever_the_namespaces_become(stage):
    """A read or write may be on its way to L2 while its key moves to another namespace."""
    redis_server = stage.redis()
    node = configured(stage, TWO, l2=redis_server)
    other = stage.node(l2=redis_server)
    readers = Load(node, ["k:", "n:", "n:q:"])
    writer, reader = other.client(), node.client()
    for turn in range(10):
        reload(node, OTHERS if turn % 2 == 0 else TWO)
        for i in range(30):
            key = ("k:", "n:", "n:q:")[i % 3] + f"far:{i % 6}"
            writer.set(key, f"{turn}.{i}")
            wanted = b"%d.%d" % (turn, i)
            until(lambda: reader.get(key) == wanted, 1.0 + SLACK_S, f"{key} is seen within the bound", every_s=0.001)
    readers.end()
    assert not readers.wrong


# --- seen from outside -----------------------------------------------------------------------------------------------


def test_namespaces_are_described(stage):
    node = configured(stage, TWO)
    client = node.client()
    client.mset({"x": "1", "n:1": "1", "n:q:1": "1"})
    client.get("n:1")
    client.get("n:none")
    with node.wire(proto=3) as conn:
        told = {one[b"name"]: one for one in map(dict, conn.ask("CACHE.NAMESPACES"))}
    assert set(told) == {b"default", b"noisy", b"quiet"}
    assert told[b"noisy"][b"prefix"] == b"n:" and told[b"noisy"][b"bytes_max"] == 2 << 20
    assert (told[b"noisy"][b"hits"], told[b"noisy"][b"misses"], told[b"noisy"][b"items"]) == (1, 1, 1)
    with node.wire() as conn:
        assert [flat[1] for flat in conn.ask("CACHE.NAMESPACES")] == [b"default", b"noisy", b"quiet"]
    _, page = node.admin("/metrics")
    assert 'terrace_namespace_hits_total{namespace="noisy"} 1\n' in page
    assert 'terrace_namespace_items{namespace="default"} 1\n' in page
    assert 'terrace_namespace_max_bytes{namespace="quiet"} 8388608\n' in page


def test_configurations_with_sections_are_checked_and_printed(stage):
    path = stage.folder / "some.conf"

    def run(text, flag):
        path.write_text(text)
        return subprocess.run([TERRACED, str(path), flag], capture_output=True, text=True, timeout=20, check=False)

    assert run(TWO, "--check-config").stdout == "configuration is good\n"
    printed = run(TWO, "--print-config").stdout
    assert "[namespace noisy]\nprefix = n:\nmode = bounded 1s\nwriters = any\nmemory = 2097152\n" in printed
    assert run(printed, "--print-config").stdout == printed
    bad = run("[namespace a]\nprefix = a\nmode = available 5w\n", "--check-config")
    assert bad.returncode == 78
    assert bad.stderr == (f"terraced: {path}:3: option 'mode': argument must be 'strict [T]', 'bounded [T]', 'available G [T]' or 'ttl', with T between 10ms and 60s and G from T (1s unless given) to 24h\n")


EXAMPLE = ROOT / "deploy" / "namespaces.conf"


def test_the_example_is_a_good_configuration():

    def run(*words):
        return subprocess.run([TERRACED, str(EXAMPLE), *words], capture_output=True, text=True, timeout=20, check=False)

    assert run("--check-config").stdout == "configuration is good\n"
    printed = run("--print-config").stdout
    for line in ("ttl = 30m", "ttl = 24h", "ttl = 1h", "format = managed", "compress-min = 0", "eager = 80%", "jitter = 10%", "write = through"):
        assert f"\n{line}\n" in printed, line
    alone = run("--check-config", "--l2", "")
    assert alone.returncode == 78
    assert re.fullmatch(r"terraced: \S*/namespaces.conf:\d+: namespace 'response': format 'managed' needs l2: [^\n]+\n", alone.stderr), alone.stderr


def test_the_example_keeps_answers_half_an_hour_vectors_a_day_and_the_rest_an_hour(stage, redis_server):
    """`response`: then an hour more, in case it cannot be made anew; `embedding` as it is; `default`: in L1."""
    node = stage.node(str(EXAMPLE), l2=redis_server)
    node.wait_synced()
    server, text = redis_server.client(), "the same again, " * 100
    with node.wire() as conn:
        for key, life_s, spare_s, kind in (("resp:1", 1800, 3600, LZ4), ("emb:1", 86400, 0, RAW)):
            assert conn.ask("SET", key, text) == b"OK"
            assert 0.9 * life_s - 2 <= conn.ask("TTL", key) <= life_s, "less the jitter"
            assert 0 <= server.ttl(key) - conn.ask("TTL", key) - spare_s <= 1
            assert unseal(server.get(key)).kind == kind
        assert conn.ask("SET", "other", text) == b"OK" and conn.ask("TTL", "other") == -1

        def told(key):
            assert conn.ask("GET", key) == text.encode()
            flat = conn.ask("CACHE.EXPLAIN", key)
            return dict(zip(flat[::2], flat[1::2]))

        until(lambda: told("other")[b"tier"] == b"l1", 5, "it is kept")
        assert 3590000 < told("other")[b"ttl_ms"] <= 3600000
    assert set(namespaces(node)) == {"default", "response", "embedding"}


def test_reloads_in_a_row_let_every_worker_go_on(stage):
    """The next standstill may begin before a worker has woken from the last one."""
    with_n = "[namespace n]\nprefix = n:\nmemory = 100mb\n"
    node = configured(stage, "", "--threads", "8", "--memory", "200mb")
    client = node.client()
    for i in range(100):
        client.mset({f"n:{i}:{j}": "x" * 50 for j in range(1000)})  # so that a rebuild takes longer than a tick
    conns = [node.wire(timeout_s=10) for _ in range(16)]  # all workers have one
    for i in range(240):
        node.config.write_text("" if i % 2 else with_n)
        node.process.signal(signal.SIGHUP)
        for conn in conns[:: 1 if i % 4 == 3 else 4]:
            assert b"config_file:" in conn.ask("INFO", "server")  # of the settings that the reload frees
    node.config.write_text(with_n)
    node.process.signal(signal.SIGHUP)
    until(lambda: set(namespaces(node)) == {"default", "n"}, 10, "the last file stands")  # the log has its limit
    for conn in conns:
        conn.close()


M = "l2 = redis://127.0.0.1:1\n[namespace m]\nprefix = m:\nformat = managed\n"
P = "l2 = redis://127.0.0.1:1\n[namespace p]\nprefix = p:\n"
CONTRADICTIONS = [
    (M + "ttl = 2h\nmax-ttl = 1h\n", "5: namespace 'm': ttl is longer than max-ttl"),
    (M + "hard-timeout = 1s\nsoft-timeout = 2s\n", "6: namespace 'm': soft-timeout is longer than hard-timeout, which ends the wait before"),
    (M + "write = behind\n", "5: namespace 'm': write 'behind' needs behind-dir"),
    ("behind-dir = /tmp\n" + M + "write = behind\nmode = strict\n", "6: namespace 'm': write 'behind' does not go with mode 'strict'"),
    (M.replace("l2 =", "; l2 ="), "4: namespace 'm': format 'managed' needs l2: alone, nobody numbers its writes"),
    (P + "write = around\n", "4: namespace 'p': write 'around' needs format 'managed': plain values are written as they come"),
    (P + "write = behind\n", "4: namespace 'p': write 'behind' needs format 'managed'"),
    (P + "mode = ttl\n", "4: namespace 'p': mode 'ttl' needs a ttl above 0"),
    (P + "mode = available 1s 2s\n", "4: option 'mode': argument must be 'strict [T]', 'bounded [T]', 'available G [T]' or 'ttl', "
                                      "with T between 10ms and 60s and G from T (1s unless given) to 24h"),
    (P + "[namespace q]\nprefix = p:\n", "4: namespace 'q': namespace 'p' has the same prefix"),
    (P + "[namespace q]\nprefix = terrace:tags\n", "5: option 'prefix': argument must not begin with 'terrace:': such keys are the nodes' own"),
    (P + "[namespace p]\nprefix = q:\n", "4: namespace 'p' is there already, in line 2"),
    (P + "tags = 1\n", "4: unknown option 'tags'"),
]  # fmt: skip
NO_EFFECT = [(P + f"{line}\n", f"4: namespace 'p': {line.split()[0]} has no effect on plain values: it needs format = managed")
             for line in ("max-ttl = 1h", "jitter = 5%", "swr = 1s", "sie = 1s", "eager = 50%", "xfetch = 1", "negative-ttl = 1s",
                          "soft-timeout = 1s", "hard-timeout = 1s", "load-timeout = 1s", "compress-min = 0")] + [
    (M + "jitter = 5%\n", "5: namespace 'm': jitter has no effect without ttl or max-ttl: no life is the namespace's own choice"),
    (M + "swr = 2m\nsie = 1m\n", "6: namespace 'm': sie has no effect beside a swr that is as long: both begin when the fresh life is over"),
    ("mode = strict\n", "1: mode has no effect without l2: this node's memory is the only copy"),
    ("[namespace p]\nprefix = p:\nwriters = nodes\n", "3: namespace 'p': writers has no effect without l2: this node's memory is the only copy"),
    ("behind-dir = /tmp\n" + M, "1: behind-dir has no effect where no namespace has write = behind"),
    ("tls-cert-file = a\ntls-key-file = b\n", ("1: tls-cert-file has no effect without a tls:// address in listen",
                                               "2: tls-key-file has no effect without a tls:// address in listen")),
    ("l2-tls-server-name = a\n" + M, "1: l2-tls-server-name has no effect without a rediss:// address in l2"),
    ("snapshot-interval = 1m\n", "1: snapshot-interval has no effect without snapshot-dir"),
    ("admin =\nadmin-token = secret\n", "2: admin-token has no effect without admin"),
]  # fmt: skip


def test_settings_that_contradict_each_other_are_refused_and_those_without_effect_are_told(stage):
    path = stage.folder / "odd.conf"

    def run(text):
        path.write_text(text)
        return subprocess.run([TERRACED, str(path), "--check-config"], capture_output=True, text=True, env={})

    for text, said in CONTRADICTIONS:
        bad = run(text)
        assert bad.returncode == 78 and bad.stderr.startswith(f"terraced: {path}:{said}"), (text, bad.stderr)
    for text, said in NO_EFFECT:
        odd = run(text)
        lines = "".join(f"warning: {path}:{one}\n" for one in ((said,) if isinstance(said, str) else said))
        assert odd.returncode == 0 and odd.stderr == lines, (text, odd.stderr)
    for good in (M + "ttl = 1h\nmax-ttl = 1h\nswr = 1m\nsie = 1h\n", P + "ttl = 1h\nwrite = through\n", TWO):
        assert run(good).stderr == "", good
        printed = subprocess.run([TERRACED, str(path), "--print-config"], capture_output=True, text=True, env={}).stdout
        assert run(printed).stderr == "", "what is said as it is anyway"


def test_what_has_no_effect_is_in_the_log_at_the_start_and_at_a_reload(stage):
    node = configured(stage, TWO + "swr = 5s\n")
    log = pathlib.Path(node.process.log_path)

    def warnings():
        return re.findall(r"level=warning event=setting msg=.*?:(\d+): namespace 'quiet': (\S+) has no effect", log.read_text())

    until(lambda: warnings() == [("10", "swr")], 5.0, "the node has started")
    assert "event=reloaded" in reload(node, TWO + "\nsie = 5s\n")
    assert warnings() == [("10", "swr"), ("11", "sie")]
    assert "event=reload_refused" in reload(node, TWO + "write = around\n") and len(warnings()) == 2
