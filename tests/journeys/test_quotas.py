# SPDX-License-Identifier: BSD-3-Clause
"""Quotas of namespaces, per second: who is refused and who is not, what is told of it, and that the others do not notice."""

import json
import pathlib
import re
import subprocess
import threading
import time

import pytest
import redis

from harness import until
from test_bench import BENCH
from test_namespaces import configured, namespaces, reload
from wire import Error

pytestmark = pytest.mark.own

QUOTAS = """
memory = 24mb
[namespace flood]
prefix = f:
memory = 2mb
max-ops = 200
[namespace wide]
prefix = w:
memory = 2mb
max-bytes = 100kb
[namespace quiet]
prefix = q:
memory = 4mb
"""

REFUSED = re.compile(r"^BUSY namespace '(\w+)' is over its quota of (\d+) (operations/s|bytes/s), try again in (\d+) ms$")


@pytest.fixture(scope="module")
def node(module_stage):
    node = configured(module_stage, QUOTAS, "--threads", "2")
    node.client().mset({"q:a": "1", "w:big": "x" * 20000})
    return node


def refusals(answers):
    found = [REFUSED.match(str(answer)) for answer in answers if isinstance(answer, redis.ResponseError)]
    assert all(found), answers
    return found


def refill(node):
    """A changed quota begins with a full bucket."""
    reload(node, QUOTAS.replace("max-ops = 200", "max-ops = 0"))
    reload(node, QUOTAS)


def test_over_the_quota_commands_are_refused_and_other_namespaces_are_not(node):
    pipe = node.client().pipeline(transaction=False)
    for i in range(1000):
        pipe.get(f"f:{i}")
        pipe.get("q:a")
    answers = pipe.execute(raise_on_error=False)
    assert answers[1::2] == [b"1"] * 1000
    refused = refusals(answers[0::2])
    assert 600 <= len(refused) <= 800, "one second's worth passes, and what is earned meanwhile"
    assert {match.group(1, 2, 3) for match in refused} == {("flood", "200", "operations/s")}
    assert all(1 <= int(match.group(4)) <= 1000 for match in refused)
    seen = namespaces(node)["flood"]
    assert int(seen["ops"]) == 1000 - len(refused) and int(seen["refused_ops"]) == len(refused)


def test_keys_are_counted_not_commands(node):
    client = node.client()
    refill(node)
    before = int(namespaces(node)["flood"]["ops"])
    client.mget([f"f:{i}" for i in range(1000)] + ["q:a"])
    assert int(namespaces(node)["flood"]["ops"]) - before == 1000
    with pytest.raises(redis.ResponseError, match="over its quota of 200 operations/s") as refused:
        client.get("f:1")
    assert 3000 < int(REFUSED.match(str(refused.value)).group(4)) <= 5010, "what was taken too much is earned first"
    with pytest.raises(redis.ResponseError, match="namespace 'flood' is over its quota"):
        client.mget("q:a", "f:1")
    assert client.mget("q:a", "w:no") == [b"1", None]
    pipe = client.pipeline(transaction=True)
    pipe.get("q:a")
    pipe.set("f:1", "v")
    with pytest.raises(redis.ResponseError, match="over its quota"):
        pipe.execute()
    refill(node)
    assert client.get("f:1") is None, "the debt went with the quota"


def test_bytes_are_those_of_requests_and_answers(node):
    client = node.client()
    reload(node, QUOTAS)
    seen = namespaces(node)["wide"]
    pipe = client.pipeline(transaction=False)
    for _ in range(100):
        pipe.get("w:big")
    answers = pipe.execute(raise_on_error=False)
    refused = refusals(answers)
    assert 90 <= len(refused) <= 96, "five of 20000 bytes are a second's worth"
    assert {match.group(1, 2, 3) for match in refused} == {("wide", "102400", "bytes/s")}
    now = namespaces(node)["wide"]
    moved = int(now["bytes_out"]) - int(seen["bytes_out"])
    assert moved == (100 - len(refused)) * (20000 + len("$20000\r\n\r\n"))
    assert int(now["bytes_in"]) - int(seen["bytes_in"]) == (100 - len(refused)) * len("*2\r\n$3\r\nGET\r\n$5\r\nw:big\r\n")


def test_all_connections_share_one_quota_and_config_set_changes_it(stage):
    node = stage.node("--threads", "4", "--max-ops", "500")
    client = node.client()
    passed = [0] * 8
    ended = threading.Event()

    def ask(number):
        with node.wire() as conn:
            while not ended.is_set():
                answers = conn.pipeline([("GET", "k")] * 20)
                passed[number] += sum(not isinstance(answer, Error) for answer in answers)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(passed))]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    until(lambda: time.monotonic() - began > 1.5, 5, "they flood for a while", every_s=0.05)
    ended.set()
    for thread in threads:
        thread.join()
    took_s = time.monotonic() - began
    ops = int(namespaces(node)["default"]["ops"])
    assert 500 <= ops <= 500 * (took_s + 1.1) + 5, (ops, took_s)
    assert sum(passed) == ops
    client.config_set("max-ops", "0")
    pipe = client.pipeline(transaction=False)
    for _ in range(3000):
        pipe.get("k")
    assert pipe.execute() == [None] * 3000
    client.config_set("max-ops", "10")
    pipe = client.pipeline(transaction=False)
    for _ in range(100):
        pipe.get("k")
    assert len(refusals(pipe.execute(raise_on_error=False))) >= 85
    assert client.config_get("max-ops") == {"max-ops": "10"}
    client.config_set("max-ops", "0")


def alerts(node, name, quota):
    log = pathlib.Path(node.process.log_path).read_text()
    return [int(level) for level in re.findall(rf'event=quota msg="namespace={name} quota={quota} percent=(\d+) ', log)]


def test_each_level_is_told_once_and_counted(stage):
    node = configured(stage, QUOTAS)
    client = node.client()
    ended = threading.Event()

    def flood():
        with node.wire() as conn:
            while not ended.is_set():
                conn.pipeline([("GET", "f:k"), ("SET", "w:k", "x" * 1000)] * 50)

    thread = threading.Thread(target=flood)
    thread.start()
    pipe = client.pipeline(transaction=False)
    for i in range(3000):
        pipe.set(f"q:{i}", "x" * 2000)
    pipe.execute()
    until(lambda: alerts(node, "flood", "ops") == [50, 80, 100], 10, "the log tells of the flood")
    until(lambda: alerts(node, "wide", "bytes") == [50, 80, 100], 10, "in bytes, too")
    until(lambda: alerts(node, "quiet", "memory") == [50, 80, 100], 10, "and of memory that is full")
    until(lambda: int(namespaces(node)["flood"]["ops_percent"]) >= 100, 10, "the use is shown")
    ended.set()
    thread.join()
    for name, quota in (("flood", "ops"), ("wide", "bytes"), ("quiet", "memory")):
        assert alerts(node, name, quota) == alerts(node, name, r"\w+") == [50, 80, 100]
    assert alerts(node, "default", r"\w+") == []
    _, page = node.admin("/metrics")
    for line in ('terrace_namespace_quota_limit{namespace="flood",quota="ops"} 200',
                 'terrace_namespace_quota_level{namespace="flood",quota="ops"} 100',
                 'terrace_namespace_quota_alerts_total{namespace="flood",quota="ops",level="80"} 1',
                 'terrace_namespace_quota_alerts_total{namespace="quiet",quota="memory",level="100"} 1',
                 'terrace_namespace_quota_level{namespace="default",quota="ops"} 0'):
        assert line + "\n" in page
    told = {flat[1]: dict(zip(flat[::2], flat[1::2])) for flat in node.wire().ask("CACHE.NAMESPACES")}
    assert told[b"flood"][b"max_ops"] == 200 and told[b"flood"][b"refused_ops"] > 0
    assert told[b"quiet"][b"writes"] == 3000 and told[b"quiet"][b"ops"] == 3000


# --- the neighbour -----------------------------------------------------------------------------------------------------


def load(node, *flags):
    return subprocess.Popen([BENCH, "--target", f"127.0.0.1:{node.port}", "--quiet", "--json", *flags],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def quiet_load(node):
    """Hit ratio and p99 of the tenant that behaves: the same reads each time, of more keys than its memory holds."""
    before = namespaces(node)["quiet"]
    run = load(node, "--rate", "5000", "--duration", "0.8", "--key-prefix", "q:", "--keys", "8000", "--zipf", "0.9",
               "--value-size", "1000", "--connections", "4", "--pipeline", "8")
    report, errors = run.communicate(timeout=30)
    assert run.returncode == 0, errors
    after = namespaces(node)["quiet"]
    hits, misses = (int(after[name]) - int(before[name]) for name in ("hits", "misses"))
    return 100 * hits / (hits + misses), json.loads(report)["latency_ms"]["p99"]


def test_a_flood_moves_another_tenants_hit_ratio_by_less_than_a_point(stage, redis_server, capsys):
    text = QUOTAS.replace("max-ops = 200", "max-ops = 2000").replace("memory = 4mb", "memory = 1mb\npolicy = lru")
    node = configured(stage, text, "--threads", "2", l2=redis_server)
    client = redis_server.client()
    for first in range(0, 8000, 1000):
        client.mset({f"q:{i:012}": "x" * 1000 for i in range(first, first + 1000)})
    quiet_load(node)  # warm: the memory is full, the policy has learned
    alone = [quiet_load(node) for _ in range(2)]
    flood = load(node, "--duration", "60", "--key-prefix", "f:", "--keys", "100000", "--ratio", "1:1", "--value-size", "1000",
                 "--connections", "8", "--pipeline", "32")
    try:
        until(lambda: int(namespaces(node)["flood"]["refused_ops"]) > 0, 10, "the flood is over its quota")
        beside = [quiet_load(node) for _ in range(2)]
    finally:
        flood.kill()
        flood.wait()
    ratio = [sum(run[0] for run in runs) / len(runs) for runs in (alone, beside)]
    p99 = [min(run[1] for run in runs) for runs in (alone, beside)]
    with capsys.disabled():
        print(f"\n  beside a flood: hit ratio {ratio[0]:.2f} % -> {ratio[1]:.2f} %, p99 {p99[0]:.2f} ms -> {p99[1]:.2f} ms")
    assert 20 < ratio[0] < 95, "some hit and some miss, or nothing is shown"
    assert abs(ratio[1] - ratio[0]) < 1
    assert p99[1] < 4 * p99[0] + 40, "no wait that grows, whatever else this machine does"
