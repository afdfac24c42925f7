# SPDX-License-Identifier: BSD-3-Clause
"""write = behind: answered when the node's disk has it, seen by the node's readers at once, and in L2 soon."""

import contextlib
import pathlib
import random
import shutil
import signal
import subprocess
import threading

import pytest
import redis

from envelopes import LZ4_DICTIONARY, unseal
from harness import SEED, TERRACED, log_lines, until
from test_compression import COUNT, counted, row
from test_managed import configured
from wire import Error, encode

pytestmark = pytest.mark.own

CONFIG = """
[namespace behind]
prefix = b:
format = managed
write = behind
ttl = 1h
jitter = 0%
[namespace through]
prefix = t:
format = managed
"""


def started(stage, l2, *flags, folder=None, text=CONFIG, tail=""):
    folder = folder or stage.folder / "log"
    node = configured(stage, text + tail, "--behind-dir", str(folder), *flags, l2=l2)
    node.behind = pathlib.Path(folder)
    node.wait_synced()  # before that writes go through
    return node


def figures(node, prefix="terrace_behind"):
    _, page = node.admin("/metrics")
    lines = (line.rsplit(" ", 1) for line in page.splitlines() if line.startswith(prefix))
    return {name: int(value) for name, value in lines}


def sent(node):
    """How many writes L2 has got."""
    return figures(node)['terrace_behind_writes_total{result="sent"}']


def count_of(node, kind):
    """Records of that kind in the log (tiers/behind_log.h)."""
    log, at, count = next(node.behind.glob("*.log")).read_bytes(), 8, 0
    while at + 16 < len(log):
        count += log[at + 16:at + 17] == kind.encode()
        at += 16 + int.from_bytes(log[at:at + 4], "little")
    return count


def in_l2(redis_server, key):
    value = redis_server.client().get(key)
    return None if value is None else unseal(value).body


def test_a_write_is_read_at_once_and_comes_to_l2_and_other_nodes(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node, other = started(stage, l2), started(stage, l2, folder=stage.folder / "other")
    client = node.client()
    l2.client().set("b:key", "stranger")
    assert client.get("b:key") == b"stranger"
    assert client.set("b:key", "value") is True
    assert client.get("b:key") == b"value"
    assert client.ttl("b:key") in (3599, 3600)
    until(lambda: in_l2(l2, "b:key") == b"value", 5, "L2 has it")
    until(lambda: other.client().get("b:key") == b"value", 5, "and the other node")
    assert client.set("b:short", "x", px=60000) and 50000 < client.pttl("b:short") <= 60000
    assert [oct(path.stat().st_mode & 0o777) for path in node.behind.glob("*.log")] == ["0o600"]
    assert figures(node)['terrace_behind_writes_total{result="taken"}'] == 2


def test_other_writes_of_a_key_come_behind_those_that_wait(stage):
    """While L2 is away the table grows; when it is back, each key ends as its last command left it."""
    l2 = stage.redis()
    node = started(stage, l2, "--l2-timeout", "10s")
    client, key = node.client(), "b:k%d"
    for i in range(20):
        client.set(key % i, "first")
    until(lambda: sent(node) == 20, 5, "all are there")
    l2.client().execute_command("CLIENT", "PAUSE", 300, "WRITE")  # not the beats' end: the bus stays within its bound
    for i in range(20):
        pipe = client.pipeline(transaction=False)
        for turn in range(5):
            pipe.set(key % i, f"second {turn}")
        pipe.get(key % i)
        assert pipe.execute()[-1] == b"second 4"
    answers = {}

    def ask(name, *words):
        answers[name] = node.client().execute_command(*words)

    asks = [("deleted", "DEL", key % 0), ("not new", "SET", key % 1, "x", "NX"), ("expires", "PEXPIRE", key % 2, 100000),
            ("old", "GETSET", key % 3, "third"), ("set", "SET", key % 4, "third"), ("many", "MSET", key % 5, "a", key % 6, "b")]
    threads = [threading.Thread(target=ask, args=words) for words in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {"deleted": 1, "not new": None, "expires": 1, "old": b"second 4", "set": True, "many": True}
    wanted = [None, b"second 4", b"second 4", b"third", b"third", b"a", b"b"] + [b"second 4"] * 13
    assert [client.get(key % i) for i in range(20)] == wanted
    until(lambda: [in_l2(l2, key % i) for i in range(20)] == wanted, 5, "L2 ends as the node")
    assert 90000 < l2.client().pttl(key % 2) <= 100000
    seen = figures(node)
    assert seen['terrace_behind_writes_total{result="sent"}'] < 20 + 20 + 25, "what waited was sent once"


def test_a_key_that_is_written_all_the_time_keeps_nobody_waiting(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node = started(stage, l2)
    ended = threading.Event()

    def write():
        with node.wire() as conn:
            while not ended.is_set():
                assert conn.pipeline([("SET", "b:hot", "x")] * 10) == [b"OK"] * 10

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    with node.wire() as conn:
        answers = [conn.ask(*words) for _ in range(5) for words in
                   (("DEL", "b:hot"), ("SET", "b:hot", "y", "PX", "100000"), ("GETSET", "b:hot", "z"), ("SET", "b:hot", "y", "NX"))]
    ended.set()
    for thread in threads:
        thread.join()
    assert not [answer for answer in answers[0::4] + answers[1::4] if isinstance(answer, Error)]
    refused = {bytes(answer).split(b":")[0] for answer in answers if isinstance(answer, Error)}
    assert refused <= {b"BUSY the key is written by others all the time"}, "as for any managed key"


def test_what_is_full_is_written_through(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node = started(stage, l2, "--behind-max-entries", "10")
    client = node.client()
    pipe = client.pipeline(transaction=False)
    for i in range(500):
        pipe.set(f"b:{i}", f"value {i}")
    assert pipe.execute() == [True] * 500
    assert [client.get(f"b:{i}") for i in range(500)] == [f"value {i}".encode() for i in range(500)]
    until(lambda: all(in_l2(l2, f"b:{i}") == f"value {i}".encode() for i in range(500)), 5, "all is in L2")
    seen = figures(node)
    assert seen['terrace_behind_writes_total{result="through"}'] > 400
    large = random.Random(SEED).randbytes(2 << 20)
    assert client.set("b:large", large) and in_l2(l2, "b:large") == large, "as what is large"


def test_a_conflict_is_counted_and_the_last_to_come_stands(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node, other = started(stage, l2), started(stage, l2, folder=stage.folder / "other")
    client, far = node.client(), other.client()
    client.set("b:k", "0")
    until(lambda: in_l2(l2, "b:k") == b"0", 5, "it is in L2")
    rounds = 0
    while figures(node)["terrace_behind_conflicts_total"] == 0:
        rounds += 1
        assert rounds < 300, "two nodes that write one key at once meet sometime"
        both = [threading.Thread(target=one.set, args=("b:k", f"{name} {rounds}")) for name, one in (("near", client), ("far", far))]
        for thread in both:
            thread.start()
        for thread in both:
            thread.join()
    until(lambda: client.get("b:k") == far.get("b:k") == in_l2(l2, "b:k"), 5, "all agree")


def test_an_invalidation_by_tag_holds_for_what_waits(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node = started(stage, l2)
    client = node.client()
    for i in range(50):
        client.set(f"b:x{i}", "old")
    client.execute_command("CACHE.INVALIDATE", "PREFIX", "b:x", "SYNC", 2000)
    assert [client.get(f"b:x{i}") for i in range(50)] == [None] * 50
    client.set("b:x1", "new")
    assert client.get("b:x1") == b"new"
    until(lambda: figures(node)["terrace_behind_entries"] == 0, 5, "all has left")
    assert [client.get(f"b:x{i}") for i in range(3)] == [None, b"new", None]


BUSY = """local t = redis.call('TIME')
local e = t[1] * 1000000 + t[2] + 500000
repeat t = redis.call('TIME') until t[1] * 1000000 + t[2] > e"""


def groups(node):
    return figures(node, "terrace_managed_groups")["terrace_managed_groups_total"]


def occupy(node, l2, conns, busy):
    """Redis does nothing for half a second, and each worker has a group on its way there: what comes now is queued."""
    before = groups(node)
    busy.send(encode(("EVAL", BUSY, "0")))
    for conn in conns:
        conn.send(encode(("DEL", "t:other")))
    until(lambda: groups(node) >= before + 2, 5, "both workers have sent")


def test_a_write_does_not_pass_a_deletion_that_its_connection_asked_for_before(stage):
    l2 = stage.redis()
    node = started(stage, l2, "--threads", "2")
    names = range(16)
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(node.wire()) for _ in names]
        busy = stack.enter_context(l2.wire())
        for i in names:
            assert conns[i].ask("SET", f"b:{i}", "old") == b"OK"
        until(lambda: figures(node)["terrace_behind_entries"] == 0, 5, "all is in L2")
        occupy(node, l2, conns, busy)
        for i in names:
            conns[i].send(encode(("DEL", f"b:{i}")) + encode(("SET", f"b:{i}", "new")))
        assert [[conns[i].read() for _ in range(3)][1:] for i in names] == [[1, b"OK"]] * 16
        until(lambda: figures(node)["terrace_behind_entries"] == 0, 5, "all is in L2")
        assert [in_l2(l2, f"b:{i}") for i in names] == [b"new"] * 16
        assert [conns[i].ask("GET", f"b:{i}") for i in names] == [b"new"] * 16


def test_what_was_acknowledged_before_an_invalidation_is_not_there_behind_it(stage):
    """Its way to L2 begins before the invalidation, and ends behind it."""
    l2 = stage.redis()
    node = started(stage, l2, "--threads", "2")
    with contextlib.ExitStack() as stack:
        conns = [stack.enter_context(node.wire()) for _ in range(16)]
        busy, conn = stack.enter_context(l2.wire()), stack.enter_context(node.wire())
        occupy(node, l2, conns, busy)
        assert conn.ask("CACHE.SET", "b:red", "old", "TAGS", "1", "red") == 0
        assert conn.ask("SET", "b:other", "stays") == b"OK"
        assert isinstance(conn.ask("CACHE.INVALIDATE", "TAG", "red", "SYNC", "3000"), list)
        until(lambda: figures(node)["terrace_behind_entries"] == 0, 5, "nothing waits")
        assert conn.ask("CACHE.FETCH", "b:red", "NOLOAD")[0] == b"MISS"
        assert in_l2(l2, "b:other") == b"stays"


@pytest.mark.parametrize("flags", [["--appendonly", "yes", "--appendfsync", "always"], []], ids=["as_it_was", "empty"])
def test_what_is_taken_while_l2_is_away_arrives_however_it_comes_back(stage, flags):
    l2 = stage.redis(*flags)
    node = started(stage, l2)
    with node.wire() as conn:
        assert conn.ask("SET", "b:before", "x") == b"OK"
        assert isinstance(conn.ask("CACHE.INVALIDATE", "TAG", "red", "SYNC", "2000"), list)
        l2.process.kill()
        until(lambda: node.coherence_state() == "DETACHED", 5, "the bus is lost")
        assert conn.ask("SET", "b:k", "value") == b"OK"
        l2.start()
        node.wait_synced(10)
        until(lambda: figures(node)["terrace_behind_entries"] == 0, 10, "nothing waits")
        assert in_l2(l2, "b:k") == b"value" and conn.ask("GET", "b:k") == b"value"
    assert figures(node)['terrace_behind_writes_total{result="invalidated"}'] == 0


@pytest.mark.parametrize("words", [["FLUSHDB"], ["FLUSHALL"], ["MULTI", "FLUSHDB", "EXEC"]], ids=" ".join)
def test_what_was_acknowledged_before_a_flush_is_not_there_behind_it(stage, words):
    l2 = stage.redis()
    node = started(stage, l2, "--threads", "2", "--l2-timeout", "10s")
    l2.client().execute_command("CLIENT", "PAUSE", 300, "WRITE")
    with node.wire() as conn:
        assert conn.pipeline([("SET", f"b:{i}", "old") for i in range(3000)]) == [b"OK"] * 3000
        assert figures(node)["terrace_behind_entries"] == 3000
        assert conn.pipeline([(word,) for word in words])[-1] in (b"OK", [b"OK"])
        assert conn.ask("SET", "b:new", "stays") == b"OK"
        until(lambda: figures(node)["terrace_behind_entries"] == 0, 5, "nothing waits")
        assert l2.client().dbsize() == 1 and in_l2(l2, "b:new") == b"stays"


def test_what_is_no_string_in_l2_is_replaced_as_by_any_set(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node = started(stage, l2)
    l2.client().lpush("b:list", "x")
    assert node.client().set("b:list", "value") is True
    until(lambda: figures(node)["terrace_behind_entries"] == 0, 5, "nothing waits")
    assert in_l2(l2, "b:list") == b"value"


# --- the end of a node -------------------------------------------------------------------------------------------------


class Writers:
    """Clients that write keys of their own, and remember what was acknowledged."""

    def __init__(self, node, count=4):
        self.node, self.acknowledged, self.ended = node, [{} for _ in range(count)], False
        self.sent = [{} for _ in range(count)]  # the last batch of each, which may not be acknowledged
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        try:
            with self.node.wire() as conn:
                turn = 0
                while not self.ended:
                    batch = [(f"b:{number}:{(turn + i) % 300}", f"{turn + i}") for i in range(20)]
                    self.sent[number] = dict(batch)
                    answers = conn.pipeline([("SET", *pair) for pair in batch])
                    self.acknowledged[number].update({key: int(value) for (key, value), answer in zip(batch, answers)
                                                      if not isinstance(answer, Error)})
                    turn += 20
        except Exception:  # pylint: disable=broad-except
            pass  # the node was killed

    def end(self):
        self.ended = True
        for thread in self.threads:
            thread.join()
        return {key: turn for one in self.acknowledged for key, turn in one.items()}


def arrived(l2, acknowledged):
    """Each key holds the last value that was acknowledged, or one that was on its way behind it."""
    values = dict(zip(acknowledged, l2.client().mget(acknowledged)))
    return [key for key, turn in acknowledged.items() if values[key] is None or int(unseal(values[key]).body) < turn]


@pytest.mark.parametrize("l2_is_away", [False, True], ids=["while_it_flushes", "while_l2_is_away"])
def test_what_was_acknowledged_before_kill_9_arrives(stage, l2_is_away):
    l2 = stage.redis()
    node = started(stage, l2)
    writers = Writers(node)
    until(lambda: sum(map(len, writers.acknowledged)) >= 600, 10, "they write")
    if l2_is_away:
        l2.process.signal(signal.SIGSTOP)
    before = sum(sum(one.values()) for one in writers.acknowledged)
    until(lambda: sum(sum(one.values()) for one in writers.acknowledged) > before + 100000, 10, "and go on")
    node.process.kill()
    acknowledged = writers.end()
    if l2_is_away:
        l2.process.signal(signal.SIGCONT)
        assert arrived(l2, acknowledged), "some are on the disk only, or nothing is shown"
    again = started(stage, l2, folder=node.behind)
    assert log_lines(again, "behind_restored")
    until(lambda: not arrived(l2, acknowledged), 10, "every acknowledged write is in L2")
    client = again.client()
    # In numbers: of more than 100,000 none that was acknowledged is lost; else at most what waited for the group, 20 of each client.
    sent = {key: turn for one in writers.sent for key, turn in one.items()}
    assert sum(map(len, writers.acknowledged)) == len(acknowledged) and sum(acknowledged.values()) > 100000
    assert len(arrived(l2, {key: int(turn) for key, turn in sent.items()})) <= 80
    assert all(int(client.get(key)) >= acknowledged[key] for key in list(acknowledged)[::40])


def test_values_written_with_a_dictionary_arrive_too(stage, redis_server):
    """A node that starts again finds them in its log, where no dictionary is needed."""
    l2 = redis_server
    l2.client().flushdb()
    node = started(stage, l2)

    def write(turn):
        with node.wire() as conn:
            assert conn.pipeline([("SET", f"b:{n}", row(turn + n)) for n in range(COUNT)]) == [b"OK"] * COUNT
            assert conn.ask("GET", f"b:{COUNT - 1}") == row(turn + COUNT - 1)

    write(0)
    until(lambda: counted(node, "brought") == 1, 5.0, "a dictionary is learned and brought into L2")
    write(1)
    until(lambda: figures(node)["terrace_behind_entries"] == 0, 5, "all is in L2")
    l2.process.signal(signal.SIGSTOP)
    write(2)
    node.process.kill()
    l2.process.signal(signal.SIGCONT)
    assert unseal(l2.client().get("b:7")).kind == LZ4_DICTIONARY
    assert l2.client(db=15).delete("terrace:dict:behind") == 1, "and nobody knows it any more"
    again = started(stage, l2, folder=node.behind)
    with again.wire() as conn:
        assert conn.ask("GET", "b:7") == row(9)
        until(lambda: figures(again)["terrace_behind_entries"] == 0, 10, "all is in L2")
        assert [conn.ask("GET", f"b:{n}") for n in range(0, COUNT, 50)] == [row(2 + n) for n in range(0, COUNT, 50)]


def test_what_l2_had_is_not_sent_again_after_kill_9(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node = started(stage, l2)
    client = node.client()
    for i in range(20):
        client.set(f"b:{i}", "former")
    until(lambda: sent(node) == 20, 5, "L2 has it")
    assert client.delete(*[f"b:{i}" for i in range(20)]) == 20
    node.process.kill()
    assert count_of(node, "F") == 20, "before the deletion was answered"
    again = started(stage, l2, folder=node.behind)
    assert "0 writes that L2 does not have" in log_lines(again, "behind_restored")[0]
    assert again.client().mget([f"b:{i}" for i in range(20)]) == [None] * 20


def test_sigterm_empties_the_log(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node = started(stage, l2)
    writers = Writers(node)
    until(lambda: sum(map(len, writers.acknowledged)) >= 600, 10, "they write")
    node.process.signal(signal.SIGTERM)
    acknowledged = writers.end()
    assert node.process.wait() == 0
    assert not arrived(l2, acknowledged)
    assert sum(path.stat().st_size for path in node.behind.glob("*.log")) > 8
    again = started(stage, l2, folder=node.behind)
    assert "0 writes that L2 does not have" in log_lines(again, "behind_restored")[0]


def test_a_log_that_is_not_good_is_refused(stage, redis_server):
    l2 = redis_server
    l2.client().flushdb()
    node = started(stage, l2)
    for i in range(20):
        node.client().set(f"b:{i}", "x" * 100)
    node.process.kill()
    log = next(node.behind.glob("*.log"))
    good = log.read_bytes()
    log.write_bytes(good[:60] + bytes([good[60] ^ 1]) + good[61:])
    flags = [TERRACED, str(node.config), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--l2", l2.url, "--behind-dir",
             str(node.behind)]
    refused = subprocess.run(flags, capture_output=True, text=True, timeout=20, check=False)
    assert refused.returncode != 0 and "no good record at offset 8 of" in refused.stderr, refused
    log.write_bytes(good[:-3])
    again = started(stage, l2, folder=node.behind)
    assert log_lines(again, "behind_torn")
    shutil.rmtree(node.behind)


def test_settings_that_do_not_go_together_are_refused(stage):
    def why(text, *flags):
        path = stage.folder / "bad.conf"
        path.write_text(text)
        done = subprocess.run([TERRACED, str(path), "--check-config", "--l2", "redis://127.0.0.1:1", *flags], capture_output=True,
                              text=True, timeout=20, check=False)
        return done.returncode, done.stderr

    assert why(CONFIG)[0] == 78 and "namespace 'behind': write 'behind' needs behind-dir" in why(CONFIG)[1]
    assert why(CONFIG, "--behind-dir", "/tmp/x")[0] == 0
    assert "needs format 'managed'" in why("[namespace b]\nprefix = b:\nwrite = behind\n", "--behind-dir", "/tmp/x")[1]
    strict = CONFIG.replace("write = behind", "write = behind\nmode = strict")
    assert "does not go with mode 'strict'" in why(strict, "--behind-dir", "/tmp/x")[1]
