# SPDX-License-Identifier: BSD-3-Clause
"""redis-cli and redis-benchmark, in the ways that operators use them, and Debian's exporter for Prometheus."""

import os
import re
import shutil
import signal
import subprocess
import urllib.request

import pytest

import wire
from harness import free_port, until


def cli(server, *words, stdin=None, deadline_s=20):
    """(what it printed, exit code)"""
    done = subprocess.run(["redis-cli", "-p", str(server.port), *map(str, words)], input=stdin, capture_output=True,
                          timeout=deadline_s, check=False, env={**os.environ, "LC_ALL": "C"})
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace"), done.returncode


def lines_within(server, *words, count, deadline_s=10):
    """What a mode of redis-cli that does not end prints, until there are so many lines; then Ctrl-C."""
    process = subprocess.Popen(["redis-cli", "-p", str(server.port), *map(str, words)], stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env={**os.environ, "LC_ALL": "C"})
    seen = b""
    try:
        os.set_blocking(process.stdout.fileno(), False)

        def read():
            nonlocal seen
            seen += process.stdout.read() or b""
            return seen.count(b"\n") + seen.count(b"\r") >= count or process.poll() is not None
        until(read, deadline_s, f"{words} prints {count} lines, not {seen!r}")
        return seen.decode()
    finally:
        process.send_signal(signal.SIGINT)
        process.kill()
        process.wait()


def test_pipe_loads_a_million_little_things(any_target):
    count = 20_000
    data = b"".join(wire.encode(["SET", f"pipe:{i}", i]) for i in range(count))
    printed, code = cli(any_target.write, "--pipe", stdin=data)
    assert code == 0 and f"errors: 0, replies: {count}" in printed, printed
    assert cli(any_target.write, "get", f"pipe:{count - 1}") == (f"{count - 1}\n", 0)
    printed, code = cli(any_target.write, "--pipe", stdin=wire.encode(["SET", "a", "b"]) + wire.encode(["INCR", "a"]))
    assert code == 1 and "errors: 1, replies: 2" in printed


def test_scan_finds_every_key(any_target):
    any_target.write.client().mset({f"scan:{i}": i for i in range(1000)})
    printed, code = cli(any_target.read, "--scan", "--pattern", "scan:*")
    assert code == 0 and sorted(set(printed.split())) == sorted(f"scan:{i}" for i in range(1000))


def test_big_keys_of_every_type_are_named(target):
    client = target.write.client()
    client.set("big", "x" * 5000)
    client.set("small", "x")
    client.rpush("list", *range(50))
    client.hset("hash", mapping={i: i for i in range(30)})
    client.sadd("set", *range(20))
    client.zadd("zset", {i: i for i in range(10)})
    client.xadd("stream", {"a": 1})
    printed, code = cli(target.read, "--bigkeys")
    assert code == 0 and "Error" not in printed, printed
    for line in (r'Biggest string found .*big.* has 5000 bytes', r'Biggest +list found .*list.* has 50 items',
                 r'Biggest +hash found .*hash.* has 30 fields', r'Biggest +set found .*set.* has 20 members',
                 r'Biggest +zset found .*zset.* has 10 members', r'Biggest stream found .*stream.* has 1 entries'):
        assert re.search(line, printed), f"{line}\n{printed}"
    printed, code = cli(target.read, "--memkeys")
    assert code == 0 and re.search(r'Biggest string found .*big.* has \d{4,} bytes', printed), printed


def test_hot_keys_are_named_where_the_policy_counts_uses(target):
    keeper = target.keeper.client()
    target.write.client().set("hot", "x")
    printed, code = cli(target.read, "--hotkeys")
    assert "ERR An LFU maxmemory policy is not selected, access frequency not tracked." in printed, printed
    keeper.config_set("maxmemory-policy", "allkeys-lfu")
    try:
        for _ in range(300):
            keeper.get("hot")
        keeper.set("cold", "x")
        printed, code = cli(target.read, "--hotkeys")
        assert code == 0 and re.search(r'hot key found with counter: \d+\s+keyname: "?hot', printed), printed
    finally:
        keeper.config_set("maxmemory-policy", "noeviction")


def test_the_modes_that_watch(any_target):
    printed = lines_within(any_target.read, "--stat", "-i", "0.02", count=4)
    assert "keys" in printed and "clients" in printed and re.search(r"^\d+ +\d", printed, re.M), printed
    printed, code = cli(any_target.read, "--latency", "-i", "0.1")
    assert code == 0 and re.fullmatch(r"\d+ \d+ [0-9.]+ \d+\n", printed), printed


def test_formats_and_arguments_from_standard_input(any_target):
    assert cli(any_target.write, "-x", "set", "from stdin", stdin=b"a\0b\n") == ("OK\n", 0)
    assert cli(any_target.write, "strlen", "from stdin") == ("4\n", 0)
    assert cli(any_target.write, "mset", "a", "1", "b", 'say "x"') == ("OK\n", 0)
    assert cli(any_target.write, "--csv", "mget", "a", "none", "b") == ('"1",NULL,"say ""x"""\n', 0) or \
        cli(any_target.write, "--csv", "mget", "a", "none", "b") == ('"1",NULL,"say \\"x\\""\n', 0)
    assert cli(any_target.write, "-3", "--json", "mget", "a", "none") == ('["1",null]\n', 0)
    assert cli(any_target.write, "-r", "3", "incr", "n") == ("1\n2\n3\n", 0)
    assert cli(any_target.write, "-n", "3", "dbsize") == ("0\n", 0)
    assert cli(any_target.write, "-e", "incr", "b")[1] == 1
    assert cli(any_target.write, "--no-auth-warning", "ping", "hello there") == ("hello there\n", 0)
    printed, _ = cli(any_target.write, stdin=b"set typed 'two words'\nget typed\n\nselect 2\nget typed\nnosuch\n")
    assert printed.startswith('OK\ntwo words\n') and "ERR unknown command 'nosuch'" in printed, printed


def test_scripts_from_files(target, tmp_path):
    script = tmp_path / "script.lua"
    script.write_text("return redis.call('SET', KEYS[1], ARGV[1])")
    assert cli(target.write, "--eval", script, "key", ",", "value") == ("OK\n", 0)
    assert cli(target.write, "get", "key") == ("value\n", 0)


def test_blocks_typed_by_hand(any_target):
    printed, code = cli(any_target.write, stdin=b"multi\nset a 1\nincr a\nexec\nmulti\nnosuch\nexec\n")
    assert code == 0 and printed.startswith("OK\nQUEUED\nQUEUED\nOK\n2\nOK\n") and "EXECABORT" in printed, printed


BENCHED = ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "LPUSH", "RPUSH", "LPOP", "RPOP", "SADD", "HSET", "SPOP",
           "ZADD", "ZPOPMIN", "LRANGE_100 (first 100 elements)", "MSET (10 keys)"]


@pytest.mark.parametrize("pipeline", [1, 16])
def test_redis_benchmark_runs_all_its_tests(target, pipeline):
    done = subprocess.run(["redis-benchmark", "-p", str(target.write.port), "-q", "-n", "200", "-c", "10", "-P", str(pipeline)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "rror" not in done.stdout + done.stderr, done.stdout + done.stderr
    for name in BENCHED:
        assert f"{name}: " in done.stdout, f"{name}\n{done.stdout}"


def test_the_exporter_for_prometheus(any_target):
    exporter = shutil.which("prometheus-redis-exporter")
    assert exporter, "prometheus-redis-exporter is not installed"
    client = any_target.read.client()
    client.set("k", "v")
    client.get("k")
    client.get("none")
    port = free_port()
    process = subprocess.Popen([exporter, "-redis.addr", f"redis://127.0.0.1:{any_target.read.port}", "-web.listen-address",
                                f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        def scrape():
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
            except OSError:
                return None
        page = until(scrape, 10, "the exporter answers")
    finally:
        process.kill()
        process.wait()
    figures = dict(re.findall(r"^(redis_[a-z_]+)(?:\{[^}]*\})? ([0-9.e+]+)$", page, re.M))
    assert figures["redis_up"] == "1" and float(figures["redis_exporter_last_scrape_error"]) == 0, figures
    assert float(figures["redis_memory_used_bytes"]) > 0 and float(figures["redis_connected_clients"]) > 0
    assert float(figures["redis_keyspace_hits_total"]) > 0 and float(figures["redis_keyspace_misses_total"]) > 0
    for name in ("redis_memory_max_bytes", "redis_expired_keys_total", "redis_evicted_keys_total", "redis_uptime_in_seconds",
                 "redis_commands_processed_total", "redis_db_keys"):
        assert name in figures, name
    assert re.search(r'redis_instance_info\{[^}]*redis_version="7.0.15"', page)
    assert re.search(r'redis_commands_total\{cmd="get"\} [1-9]', page)
