# SPDX-License-Identifier: BSD-3-Clause
"""The node as a process: settings, signals, listeners, the admin port, limits, and the tools that people point at it."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import redis

import harness
import wire
from harness import SLACK_S, TERRACED, free_port, serves_hits, until

own = pytest.mark.own
CONFIG_ERROR = 78


def run_node(*args, env=None, deadline_s=10):
    """Runs the node until it ends by itself: (exit code, all it said)."""
    done = subprocess.run([TERRACED, *map(str, args)], capture_output=True, text=True, timeout=deadline_s, check=False,
                          stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})})
    return done.returncode, done.stdout + done.stderr


# --- ending ---

@own
def test_an_ordinary_start_is_quiet(stage):
    """The first node of a Redis, the second, and one that comes back: no warning."""
    redis_server = stage.redis()
    first = stage.node(l2=redis_server)
    second = stage.node(l2=redis_server)
    for node in (first, second):
        until(lambda node=node: node.info()["coherence_nodes"] == "2", 5, "they hear each other")
        until(lambda node=node: node.info()["l2_rights"] == "granted", 5, "L2 was looked at")
    assert first.process.end() == 0 and first.start()
    for node in (first, second):
        log = node.process.log(64000)
        assert "level=warning" not in log, log
        assert 'msg="SYNCED"' in log
        assert node.info()["coherence_doubts"] == "0"


def test_sigterm_drains_and_exits_with_zero(stage, redis_server):
    node = stage.node(l2=redis_server)
    with node.wire() as idle, node.wire() as busy:
        idle.ask("PING")
        busy.send(wire.encode(["SET", "k", "v"]) + wire.encode(["GET", "k"]))
        assert [busy.read(), busy.read()] == [b"OK", b"v"]
        node.process.signal(signal.SIGTERM)
        assert idle.closes_within(3), "idle connections are closed at once"
    assert node.process.wait(6 + SLACK_S) == 0
    assert not os.path.exists(node.unixsocket), "the Unix socket is left behind"


@own
def test_requests_under_way_are_answered_while_draining(stage):
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    redis_server.client().set("slow", "answer")
    with node.wire() as conn:
        conn.ask("PING")
        redis_server.client().execute_command("CLIENT", "PAUSE", "400", "ALL")
        conn.send(wire.encode(["GET", "slow"]))
        until(lambda: conn_is_waiting(node), 10, "the request has arrived")
        node.process.signal(signal.SIGTERM)
        assert conn.read() == b"answer"
    assert node.process.wait(6 + SLACK_S) == 0


def conn_is_waiting(node):
    """Another connection is answered after the first one's request was read: one loop turn is enough."""
    with node.wire() as other:
        return other.ask("PING") == b"PONG" and other.ask("PING") == b"PONG"


@own
def test_a_second_signal_ends_at_once(stage):
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    with node.wire() as conn:
        until(lambda: node.admin("/readyz")[0] == 200, 5, "it is ready")
        redis_server.client().execute_command("CLIENT", "PAUSE", "8000", "ALL")
        conn.send(wire.encode(["GET", "waits"]))
        conn_is_waiting(node)
        node.process.signal(signal.SIGTERM)
        until(lambda: "draining" in node.admin("/readyz")[1], 10, "draining began")
        began = time.monotonic()
        node.process.signal(signal.SIGTERM)
        node.process.wait(5)
        assert time.monotonic() - began < SLACK_S


@own
def test_a_silent_client_does_not_hold_the_end_up(stage):
    """One that never reads its replies, one with half a request."""
    node = stage.node()
    with node.wire() as unread, node.wire() as half:
        unread.ask("SET", "big", "b" * 200_000)
        unread.send(wire.encode(["GET", "big"]) * 200)
        half.send(b"*2\r\n$3\r\nGET\r\n$100\r\nxx")
        began = time.monotonic()
        node.process.signal(signal.SIGTERM)
        assert node.process.wait(5 + 2 * SLACK_S) == 0
        assert time.monotonic() - began < 5 + 2 * SLACK_S


@own
def test_a_worker_that_is_busy_for_longer_than_the_grace_is_not_waited_for(stage):
    """Each look at a key takes a glob match all the steps that it may make: KEYS takes minutes. Time is the subject."""
    node = stage.node("--threads", "1")
    with node.wire() as busy, node.wire() as other:
        names = [["SET", f"{i}:" + "a" * 3000, "v"] for i in range(20_000)]
        assert set(busy.pipeline(names)) == {b"OK"}
        busy.send(wire.encode(["KEYS", "*" + "a" * 1500 + "b"]))
        other.sock.settimeout(1)
        with pytest.raises(TimeoutError):  # maybe not the first: it may overtake KEYS
            for _ in range(1000):
                other.ask("PING")
        began = time.monotonic()
        node.process.signal(signal.SIGTERM)
        assert node.process.wait(60) == 0
        assert time.monotonic() - began < 7 + SLACK_S


@own
def test_sigint_is_like_sigterm(stage):
    node = stage.node()
    node.process.signal(signal.SIGINT)
    assert node.process.wait(6 + SLACK_S) == 0


@own
def test_nothing_is_left_open_after_a_thousand_clients(stage, redis_server):
    node = stage.node(l2=redis_server)
    before = harness.open_files(node.pid)
    for _ in range(1000):
        with node.wire() as conn:
            conn.ask("PING")
    until(lambda: harness.open_files(node.pid) <= before + 1, 5, "all descriptors are closed")


# --- the admin port ---

@own
def test_livez_and_readyz(node):
    assert node.admin("/livez")[0] == 200
    until(lambda: node.admin("/readyz")[0] == 200, 5, "it is ready")
    assert node.admin("/readyz?verbose")[0] == 200
    assert node.admin("/nothing/here")[0] == 404


@own
def test_readiness_goes_off_before_the_listener_closes(stage):
    redis_server = stage.redis()
    node = stage.node(l2=redis_server)
    with node.wire() as conn:
        conn.ask("PING")
        redis_server.client().execute_command("CLIENT", "PAUSE", "600", "ALL")
        conn.send(wire.encode(["GET", "k"]))
        conn_is_waiting(node)
        node.process.signal(signal.SIGTERM)
        until(lambda: node.admin("/readyz") == (503, "not ready\ndraining\n"), 10, "readyz says 503 while draining", every_s=0.001)
    node.process.wait(8)


@own
def test_metrics_are_clean_and_count(node):
    client = node.client()
    client.set("k", "v")
    with node.wire() as conn:
        until(lambda: serves_hits(node, conn, "k"), 5, "k is in L1")
    status, text = node.admin("/metrics")
    assert status == 200
    names = set(re.findall(r"^([a-z_]+)(?:\{[^}]*\})? [0-9.e+-]+$", text, re.MULTILINE))
    assert {"terrace_tier_requests_total", "terrace_commands_total", "terrace_connections_total"} <= names, names
    for name in names:
        assert name.startswith(("terrace_", "process_")), name
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        assert f"# TYPE {name} " in text or f"# TYPE {base} " in text, f"{name} has no TYPE"
    hits = float(re.search(r'terrace_tier_requests_total\{tier="l1",result="hit"\} (\S+)', text).group(1))
    assert hits >= 1
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0 and not (done.stdout + done.stderr).strip(), done.stdout + done.stderr


def durations(node, kind):
    """({upper bound in seconds: calls that took no longer}, seconds of all together, calls), as Prometheus sees it."""
    text = node.admin("/metrics")[1]
    name = "terrace_request_duration_seconds"
    buckets = re.findall(rf'^{name}_bucket{{kind="{kind}",le="([^"]+)"}} (\d+)$', text, re.MULTILINE)
    figures = [re.search(rf'^{name}_{what}{{kind="{kind}"}} (\S+)$', text, re.MULTILINE).group(1) for what in ("sum", "count")]
    return {float(bound): int(calls) for bound, calls in buckets}, float(figures[0]), int(figures[1])


@own
def test_metrics_tell_how_long_reads_and_writes_take(node):
    client = node.client()
    for i in range(10):
        client.set(f"k:{i}", "v")
    for i in range(20):
        client.get(f"k:{i % 10}")
    client.ping()
    for kind, calls in (("read", 20), ("write", 10), ("other", 1)):
        buckets, seconds, count = durations(node, kind)
        upwards = [buckets[bound] for bound in sorted(buckets)]
        assert upwards == sorted(upwards) and upwards[-1] == count >= calls and max(buckets) == float("inf"), (kind, buckets)
        assert len(buckets) == 26 and 0 < seconds < 10 * count, (kind, seconds, count)


def test_metrics_count_what_takes_long_as_that(stage, redis_server):
    node = stage.node(l2=redis_server)
    before = durations(node, "other")[0]
    node.client().eval("for i = 1, 300000 do redis.call('ping') end return 1", 0)
    after = durations(node, "other")[0]
    below = max(bound for bound in after if bound < 0.01)
    assert after[float("inf")] - after[below] >= before[float("inf")] - before[below] + 1, (before, after)


@own
def test_every_metric_of_the_table_is_exported(node):
    table = (harness.ROOT / "tiers" / "base" / "metrics.def").read_text()
    text = node.admin("/metrics")[1]
    for name in set(re.findall(r'"(terrace_[a-z0-9_]+)"', table)):
        assert f"\n{name}" in text, name


@own
def test_the_admin_port_survives_nonsense(node):
    for sent in (b"\x00\xff\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"PING\r\n",
                 b"POST /livez HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", b"GET /" + b"a" * 100_000):
        with socket.create_connection(("127.0.0.1", node.admin_port), timeout=3) as sock:
            try:
                sock.sendall(sent)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(4096):
                    pass
            except OSError:
                pass
    assert node.admin("/livez")[0] == 200 and node.answers_ping()


# --- settings ---

@own
def test_a_file_is_read_and_flags_and_environment_win(tmp_path):
    path = tmp_path / "terrace.conf"
    path.write_text("; comment\nmemory = 32mb\npolicy = lfu\nmaxclients = 77\n")
    code, text = run_node(path, "--check-config")
    assert code == 0, text
    code, text = run_node(path, "--policy", "ttl", "--print-config", env={"TERRACE_MAXCLIENTS": "88",
                                                                          "TERRACE_POLICY": "lru"})
    assert code == 0
    printed = dict(re.findall(r"^([a-z0-9-]+) = (.*)$", text, re.MULTILINE))
    assert printed["policy"] == "ttl", "flag > environment > file"
    assert printed["maxclients"] == "88" and printed["memory"] in ("32mb", "33554432", "32mb ")


@own
def test_the_printed_configuration_loads_again(tmp_path):
    code, text = run_node("--memory", "48mb", "--timeout", "30", "--requirepass", "se cret;#1", "--print-config")
    assert code == 0
    assert "se cret" not in text, "a secret is printed"
    path = tmp_path / "printed.conf"
    path.write_text("\n".join(line for line in text.splitlines() if not line.startswith("requirepass")) + "\n")
    assert run_node(path, "--check-config")[0] == 0
    again = run_node(path, "--print-config")[1]
    strip = re.compile(r"^(requirepass|file|;|#).*\n?", re.MULTILINE)
    assert strip.sub("", again) == strip.sub("", text)


BAD_LINES = [
    ("an unknown key", "maxclients = 10\nnosuch = 1\n", 2, "nosuch"),
    ("a number that is a word", "maxclients = many\n", 1, "maxclients"),
    ("a number out of range", "\n\nmaxclients = 0\n", 3, "maxclients"),
    ("an unknown policy", "; one\npolicy = best\n", 2, "policy"),
    ("a size with a strange unit", "memory = 10 parsecs\n", 1, "memory"),
    ("a size without a unit", "threads = 1\nmemory = 100\n", 2, "at least 1mb"),
    ("a setting twice", "[namespace a]\nprefix = a\nprefix = b\n", 3, "already, in line 2"),
    ("settings that do not go together", "threads = 1\nttl = 5s\n", 2, "ttl needs l2"),
    ("a time with a strange unit", "timeout = 5 fortnights\n", 1, "timeout"),
    ("an address without a port", "listen = localhost\n", 1, "listen"),
    ("an L2 of an unknown kind", "l2 = mysql://localhost\n", 1, "l2"),
    ("a line that is no setting", "maxclients = 10\nthis is a poem\n", 2, None),
    ("an unsupported mode", "mode = whatever\n", 1, "mode"),
]


@own
@pytest.mark.parametrize("text, line, word", [row[1:] for row in BAD_LINES], ids=[row[0] for row in BAD_LINES])
def test_a_bad_file_is_refused_with_file_and_line(tmp_path, text, line, word):
    path = tmp_path / "bad.conf"
    path.write_text(text)
    for words in ([path], [path, "--check-config"]):
        code, said = run_node(*words)
        assert code == CONFIG_ERROR, said
        assert f"bad.conf:{line}" in said and (word is None or word in said), said
        assert len(said.strip().splitlines()) == 1, f"one line, not {said!r}"


@own
@pytest.mark.parametrize("words", [["--nosuch", "1"], ["--maxclients", "many"], ["--maxclients"], ["--l2", "rediss+cluster://h:1"],
                                   ["--l2", "redis+sentinel://a,b"], ["--threads", "-3"], ["--unixsocketperm", "999"],
                                   ["/no/such/file.conf"], ["--listen", "127.0.0.1:99999"], ["--coherence-db", "16"]],
                         ids=" ".join)
def test_bad_flags_are_refused(words):
    code, said = run_node(*words)
    assert code == CONFIG_ERROR and len(said.strip().splitlines()) == 1 and len(said) > 10, (code, said)


@own
def test_bad_environment_is_refused():
    code, said = run_node(env={"TERRACE_MAXCLIENTS": "many"})
    assert code == CONFIG_ERROR and "maxclients" in said.lower(), said


@own
def test_help_and_version():
    code, text = run_node("--help")
    assert code == 0
    for name in ("--listen", "--l2", "--memory", "--policy", "--threads", "--requirepass"):
        assert name in text, name
    code, text = run_node("--version")
    assert code == 0 and re.search(r"\d+\.\d+\.\d+", text)


@own
def test_a_port_in_use_is_named(stage):
    node = stage.node()
    code, said = run_node("--listen", f"127.0.0.1:{node.port}", "--admin", f"127.0.0.1:{free_port()}")
    assert code not in (0, None) and str(node.port) in said and "in use" in said.lower(), (code, said)


@own
def test_protected_mode_refuses_the_world_without_a_password(stage):
    port, admin = free_port(), f"127.0.0.1:{free_port()}"
    code, said = run_node("--listen", f"0.0.0.0:{port}", "--admin", admin)
    assert code == CONFIG_ERROR and "requirepass" in said, said
    for flags in (["--requirepass", "secret"], ["--protected-mode", "no"]):
        process = stage.run(f"open{flags[0]}", [TERRACED, "--listen", f"0.0.0.0:{port}", "--admin", admin, *flags])
        until(lambda: said_pong_or_noauth(port), 10, f"the node serves with {flags}")
        assert process.end() == 0


def said_pong_or_noauth(port):
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as sock:
            sock.sendall(b"PING\r\n")
            return sock.recv(64)[:5] in (b"+PONG", b"-NOAU")
    except OSError:
        return False


@own
def test_sighup_reloads_and_a_bad_file_keeps_the_old(stage, tmp_path):
    path = tmp_path / "node.conf"
    path.write_text("maxclients = 100\n")
    node = stage.node(str(path))
    client = node.client(decode_responses=True)
    assert client.config_get("maxclients") == {"maxclients": "100"}
    path.write_text("maxclients = 200\n")
    node.process.signal(signal.SIGHUP)
    until(lambda: client.config_get("maxclients") == {"maxclients": "200"}, 10, "the new value is in force")
    path.write_text("maxclients = oops\n")
    node.process.signal(signal.SIGHUP)
    until(lambda: "node.conf:1" in node.process.log(), 10, "the log says what is wrong")
    assert client.config_get("maxclients") == {"maxclients": "200"} and node.process.alive()


@own
def test_config_set_is_in_force_at_once(stage):
    node = stage.node()
    client = node.client(decode_responses=True)
    for name, value, shown in (("maxclients", "50", "50"), ("memory", "32mb", None), ("policy", "lfu", "lfu"),
                               ("slowlog-log-slower-than", "5", "5"), ("loglevel", "debug", "debug")):
        assert client.config_set(name, value) is True
        assert shown is None or client.config_get(name)[name] == shown
    with pytest.raises(redis.ResponseError):
        client.config_set("listen", "127.0.0.1:1")
    assert client.config_set("requirepass", "secret") is True
    with node.wire() as conn:
        assert conn.ask("PING").startswith(b"NOAUTH")
        assert conn.ask("AUTH", "secret") == b"OK"
        assert conn.ask("CONFIG", "SET", "requirepass", "") == b"OK"
    assert node.answers_ping()


@own
def test_memory_stays_within_its_budget(stage):
    """Values of three times the budget: what leaves is counted, and the newest is there."""
    node = stage.node("--memory", "16mb")
    client = node.client()
    pipe = client.pipeline(transaction=False)
    for i in range(48_000):
        pipe.set(f"key:{i}", b"v" * 1000)
        if i % 1000 == 999:
            pipe.execute()
    info = node.info()
    assert int(info["l1_bytes_used"]) <= 16 << 20, info["l1_bytes_used"]
    assert 5_000 < client.dbsize() < 16_000
    assert int(info["evicted_keys"]) >= 30_000
    assert client.get("key:47999") == b"v" * 1000
    assert harness.vm_rss_bytes(node.pid) < 60 << 20


# --- limits of connections ---

@own
def test_one_client_too_many_is_told_so(stage):
    node = stage.node("--maxclients", "5")
    conns = []
    for _ in range(5):
        conn = node.wire()
        assert conn.ask("PING") == b"PONG"
        conns.append(conn)
    with node.wire() as extra:
        assert extra.closes_within(15)
        assert extra.leftover() == b"-ERR max number of clients reached\r\n"
    assert conns[0].ask("INFO", "stats").count(b"rejected_connections:1") == 1
    conns.pop().close()
    until(node.answers_ping, 10, "a place that became free is given away")
    for conn in conns:
        conn.close()


@own
def test_idle_clients_are_closed(stage):
    node = stage.node("--timeout", "1")
    with node.wire() as idle, node.wire() as busy:
        idle.ask("PING")
        began = time.monotonic()
        closed = threading.Event()
        threading.Thread(target=lambda: idle.closes_within(15) and closed.set(), daemon=True).start()
        while not closed.is_set():
            assert busy.ask("PING") == b"PONG", "a busy client was closed"
            assert time.monotonic() - began < 2 + SLACK_S, "an idle client stays"
        assert time.monotonic() - began > 0.9, "closed too early"
        assert busy.ask("PING") == b"PONG"


@own
def test_a_password_is_asked_for(stage):
    node = stage.node("--requirepass", "secret")
    with node.wire() as conn:
        assert conn.ask("GET", "k") == b"NOAUTH Authentication required."
        assert conn.ask("AUTH", "wrong") == b"WRONGPASS invalid username-password pair or user is disabled."
        assert conn.ask("AUTH", "default", "secret") == b"OK" and conn.ask("SET", "k", "v") == b"OK"
        assert conn.ask("RESET") == b"RESET" and conn.ask("GET", "k").startswith(b"NOAUTH")
        hello = conn.ask("HELLO", "3", "AUTH", "default", "secret")
        assert isinstance(hello, wire.Map) and conn.ask("GET", "k") == b"v"
    assert node.client(password="secret").get("k") == b"v"
    assert node.cli("-a", "secret", "--no-auth-warning", "GET", "k") == "v"


# --- other doors ---

@own
def test_the_unix_socket_serves(stage):
    node = stage.node("--unixsocketperm", "600")
    with wire.Wire(node.unixsocket) as conn:
        assert conn.ask("SET", "k", "v") == b"OK" and conn.ask("GET", "k") == b"v"
        assert b"addr=" + node.unixsocket.encode() + b":0" in conn.ask("CLIENT", "INFO")
    assert pathlib.Path(node.unixsocket).stat().st_mode & 0o777 == 0o600
    done = subprocess.run(["redis-cli", "-s", node.unixsocket, "GET", "k"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "v"
    with redis.Redis(unix_socket_path=node.unixsocket) as client:
        assert client.get("k") == b"v"


@own
def test_an_l2_behind_a_unix_socket(stage):
    path = str(stage.folder / "redis.sock")
    redis_server = stage.redis("--unixsocket", path)
    node = stage.node(l2=f"unix://{path}")
    assert node.client().set("k", "v") is True and redis_server.client().get("k") == b"v"
    assert node.client().get("k") == b"v"


@own
def test_an_l2_with_a_password(stage):
    redis_server = stage.redis("--requirepass", "deepsecret")
    node = stage.node(l2=f"redis://default:deepsecret@127.0.0.1:{redis_server.port}")
    assert node.client().set("k", "v") is True
    assert redis_server.client(password="deepsecret").get("k") == b"v"
    assert "deepsecret" not in node.process.log(100_000), "a password is in the log"


@own
def test_a_wrong_l2_password_is_said_plainly(stage):
    redis_server = stage.redis("--requirepass", "right")
    node = stage.node_not_started(l2=f"redis://:wrong@127.0.0.1:{redis_server.port}")
    node.launch()
    until(node.answers_ping, 10)
    with node.wire() as conn:
        until(lambda: conn.ask("GET", "k").startswith(b"L2DOWN "), 10)
    until(lambda: re.search(r"WRONGPASS|NOAUTH|password", node.process.log()), 10, "the log says why")
    assert "wrong@" not in node.process.log()


# --- tools ---

def test_redis_benchmark_runs_unmodified(node):
    done = subprocess.run(
        ["redis-benchmark", "-h", "127.0.0.1", "-p", str(node.port), "-t", "set,get,incr,mset", "-n", "20000", "-q"],
        capture_output=True, text=True, timeout=60, check=False)
    out = done.stdout.replace("\r", "\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rror" not in out + done.stderr and "WARN" not in out + done.stderr, out + done.stderr
    for name in ("SET", "GET", "INCR", "MSET (10 keys)"):
        assert re.search(rf"^{re.escape(name)}: [\d.]+ requests per second", out, re.MULTILINE), (name, out[-2000:])
    assert int(node.client().get("counter:__rand_int__")) == 20_000


def test_redis_benchmark_pipelines(node):
    done = subprocess.run(
        ["redis-benchmark", "-h", "127.0.0.1", "-p", str(node.port), "-t", "set,get", "-n", "50000", "-q", "-P", "64",
         "-c", "20", "-r", "1000", "-3"],
        capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "rror" not in done.stdout + done.stderr, done.stdout + done.stderr


def test_redis_cli_shows_help_and_statistics(node):
    assert node.cli("PING") == "PONG"
    assert "redis_version:7.0.15" in node.cli("INFO", "server")
    node.cli("SET", "k", "v")
    assert "Biggest string found" in node.cli("--bigkeys", deadline_s=30)
    assert "errors: 0, replies: 2" in node.cli("--pipe", stdin="SET piped 1\r\nSET piped 2\r\n")
    assert node.cli("GET", "piped") == "2"


@own
def test_two_nodes_of_one_redis_know_their_threads(stage, redis_server):
    """--threads 1 and 3 serve the same."""
    for threads in ("1", "3"):
        node = stage.node("--threads", threads, l2=redis_server)
        conns = [node.wire() for _ in range(12)]
        for i, conn in enumerate(conns):
            assert conn.ask("SET", f"t{i}", threads) == b"OK"
        for i, conn in enumerate(conns):
            assert conn.ask("GET", f"t{(i + 1) % 12}") == threads.encode()
            conn.close()
        node.end()
