# SPDX-License-Identifier: BSD-3-Clause
"""harness -- starts Redis servers and nodes for the journeys, talks to them, and ends them.

A Stage owns every process it starts and ends each by its pid, whatever the test did; should pytest itself be killed,
the kernel ends them (PR_SET_PDEATHSIG). Nothing here sleeps for luck: `until` polls a condition up to a deadline.

    with Stage(folder) as stage:
        redis = stage.redis()
        node = stage.node(l2=redis)
        node.client().set("k", "v")

Ports are found by binding port 0; a port that somebody takes in between is tried again with another.
Environment: TEST_SEED, the seed of what is random: a number, or `random` for one that nobody chose; unset it is always the
same, so that a green tree stays green. JOURNEY_L2_USER=1 lets nodes come to Redis as a user with the documented rights (docs/operations.md) and what
the journeys themselves run. JOURNEY_TLS=1 lets clients come to nodes by TLS (test_differential,
test_strings, test_held_answers; not where sockets are made by hand, or one connection is used by two threads, which
Python's ssl cannot). TERRACED, path of the node (default build/release/terraced). TERRACED=redis-server puts Redis in the place
of the node: the tests then test themselves against the oracle ("rehearsal"); tests of our own things are skipped.
"""

import ctypes
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request

import pytest
import redis

import native
import wire

ROOT = pathlib.Path(__file__).resolve().parents[2]
TERRACED = os.environ.get("TERRACED", str(ROOT / "build" / "release" / "terraced"))
REHEARSAL = os.path.basename(TERRACED) == "redis-server"
START_DEADLINE_S = 15.0
BOUND_S = 1.0  # T, the default bound on staleness
# What a test may be late by when the machine is busy: two cores, shared with builds.
SLACK_S = float(os.environ.get("JOURNEY_SLACK_S", "1.0"))
# What a process says, and how it ends, when it finds itself broken. It may do so when its test has long passed: at its end, above all.
REPORT = re.compile(r"ERROR: (?:Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error: |CHECK failed: ")
TRIED = {"pttl", "get", "getrange", "strlen", "hlen"}  # tiers/rights.c
CRASHES = {-signal.SIGILL, -signal.SIGABRT, -signal.SIGBUS, -signal.SIGFPE, -signal.SIGSEGV}
_ASKED_SEED = os.environ.get("TEST_SEED", "1")
SEED = random.SystemRandom().randrange(1, 1 << 40) if _ASKED_SEED == "random" else int(_ASKED_SEED)

L2_USER = os.environ.get("JOURNEY_L2_USER")
TLS = os.environ.get("JOURNEY_TLS")
RUN_BY_JOURNEYS = ["+flushall", "+flushdb", "+keys", "+swapdb", "+sort", "+sort_ro", "+restore"]

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1


def log_lines(node, event):
    return [line for line in node.process.log(200_000).splitlines() if f"event={event} " in line]


def until(condition, deadline_s=5.0, what=None, every_s=0.005):
    """Polls `condition` until it is true and returns what it gave; fails with `what` after the deadline."""
    ends_at = time.monotonic() + deadline_s
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > ends_at:
            raise AssertionError(f"not within {deadline_s} s: {what or condition.__doc__ or condition}")
        time.sleep(every_s)


def stand_still(process, is_to=True):
    """SIGSTOP (or SIGCONT), and every thread has stopped when this returns."""
    process.signal(signal.SIGSTOP if is_to else signal.SIGCONT)

    def states():
        return {(task / "stat").read_text().rsplit(")", 1)[1].split()[0]
                for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()}
    until(lambda: (states() == {"T"}) == is_to, 5, "it stands still, or goes on")


def documented_rules():
    """What the documents say that a user of L2 needs."""
    line = re.search(r"ACL SETUSER terrace on >password (.*)", (ROOT / "docs" / "operations.md").read_text())
    return line.group(1).split()


# Of a test that judges by time what an instrumented node is too slow for.
slow_under_sanitizers = pytest.mark.skipif("JOURNEY_SANITIZED" in os.environ, reason="judged by time: an instrumented node is too slow")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def raise_file_limit():
    """As many descriptors as we may have; the count."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def vm_rss_bytes(pid):
    """Resident memory; 0 under a sanitizer, whose shadow and quarantine are not the node's: the release run checks it."""
    if os.environ.get("JOURNEY_SANITIZED"):
        return 0
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no memory: it ended")


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def ask_timed(conn, *words):
    """(the reply, the seconds it took)"""
    began = time.monotonic()
    reply = conn.ask(*words)
    return reply, time.monotonic() - began


def serves_hits(node, conn, key):
    """True if GET of the key comes from L1. Not at once after a write: its announcement may still be under way and end
    what was just filled; nor after a flush, until the next beat."""
    if REHEARSAL:
        return True
    conn.ask("GET", key)
    before = int(node.info()["l1_hits"])
    conn.ask("GET", key)
    return int(node.info()["l1_hits"]) > before


def info_fields(text):
    """The name:value lines of INFO as a dict of strings."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line and not line.startswith("#"))


def _die_with_parent():
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One child with its log."""

    def __init__(self, name, argv, log_path, env=None):
        self.name = name
        self.argv = [str(arg) for arg in argv]
        self.log_path = log_path
        self._log = open(log_path, "ab")
        self.popen = subprocess.Popen(
            self.argv, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.STDOUT, env=env,
            preexec_fn=_die_with_parent,
        )

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def log(self, tail_bytes=8000):
        data = pathlib.Path(self.log_path).read_bytes()
        return data[-tail_bytes:].decode("utf-8", "replace")

    def is_broken(self):
        """Of one that has ended, and is ours."""
        return os.path.basename(self.argv[0]) != "redis-server" and (self.popen.returncode in CRASHES or REPORT.search(self.log(100_000)))

    def signal(self, number):
        if self.alive():
            os.kill(self.pid, number)

    def wait(self, deadline_s=10.0):
        return self.popen.wait(deadline_s)

    def kill(self):
        """kill -9, and gone when this returns."""
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def end(self):
        """Asks, then kills. Returns the exit code."""
        if self.alive():
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGTERM)
            try:
                self.popen.wait(8)
            except subprocess.TimeoutExpired:
                self.kill()
        self._log.close()
        return self.popen.returncode


class Server:
    """What a Redis and a node have in common: an address that speaks RESP."""

    port = 0
    process = None
    tls = None  # an ssl.SSLContext, if `port` is reached so

    def client(self, **options):
        options.setdefault("socket_timeout", 20)
        if self.tls:
            options.update(ssl=True, ssl_cert_reqs=None)
        return redis.Redis(host="127.0.0.1", port=self.port, **options)

    def wire(self, proto=2, timeout_s=20.0):
        """A raw connection (wire.Wire) that already said HELLO 3 if proto is 3."""
        return wire.Wire(("127.0.0.1", self.port), proto=proto, timeout_s=timeout_s, tls=self.tls)

    def native(self, timeout_s=20.0):
        """A raw connection of the native protocol (native.Native) that has said nothing yet."""
        return native.Native(("127.0.0.1", self.port), timeout_s=timeout_s, tls=self.tls)

    def socket(self, timeout_s=20.0):
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)
        return self.tls.wrap_socket(sock) if self.tls else sock

    @property
    def pid(self):
        return self.process.pid

    def answers_ping(self):
        try:
            with self.socket(1.0) as sock:
                sock.sendall(b"PING\r\n")
                return sock.recv(64)[:5] in (b"+PONG", b"-NOAU")
        except OSError:
            return False

    def cli(self, *args, stdin=None, deadline_s=20):
        """redis-cli (which is hiredis) with these arguments: its standard output, without the last newline."""
        done = subprocess.run(
            ["redis-cli", "-h", "127.0.0.1", "-p", str(self.port), *(["--tls", "--insecure"] if self.tls else []), *map(str, args)],
            input=stdin, capture_output=True, text=True, timeout=deadline_s, check=False,
        )
        return (done.stdout + done.stderr).rstrip("\n")

    def wait_synced(self, deadline_s=5.0):
        """A Redis always is."""

    def catch_up(self):
        """A Redis always has."""

    def end(self):
        if self.process:
            self.process.end()


class RedisServer(Server):
    """A private redis-server: own folder, nothing saved, loopback only."""

    def __init__(self, stage, name, port, flags):
        self.stage, self.name, self.port, self.flags = stage, name, port, list(flags)
        self.folder = stage.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)

    def start(self):
        argv = ["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--dir", self.folder, "--save", "",
                "--appendonly", "no", "--enable-debug-command", "yes", "--loglevel", "notice", *self.flags]
        self.process = self.stage.run(self.name, argv)
        until(lambda: self.answers_ping() or not self.process.alive(), START_DEADLINE_S, f"{self.name} answers PING")
        if L2_USER and self.process.alive():
            self.client().execute_command("ACL", "SETUSER", "terrace", "on", ">secret", *documented_rules(), *RUN_BY_JOURNEYS)
        return self.process.alive()

    @property
    def url(self):
        return f"redis://{'terrace:secret@' if L2_USER else ''}127.0.0.1:{self.port}"

    def calls(self, command):
        """How often Redis executed a command since CONFIG RESETSTAT, but for what nodes ask each 15 s to see what they may: once MULTI, and
        TRIED once each. (Where clients say MULTI, too, those are no numbers.)"""
        stats = self.client().info("commandstats")
        count = {name: stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in (command, "multi")}
        return count[command] - (count["multi"] if command in TRIED else 0)


class Node(Server):
    """A terraced."""

    def __init__(self, stage, name, l2_url, flags, port, env=None):
        self.stage, self.name, self.l2_url, self.flags, self.port = stage, name, l2_url, list(flags), port
        self.admin_port = free_port()
        self.unixsocket = str(stage.folder / f"{name}.sock")
        self.env = env
        self.tls = stage.tls() if TLS else None

    def argv(self):
        argv = [TERRACED, "--listen", f"{'tls://' if self.tls else ''}127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin_port}",
                "--unixsocket", self.unixsocket]
        if self.tls:
            argv += ["--tls-cert-file", self.stage.folder / "tls.crt", "--tls-key-file", self.stage.folder / "tls.key", "--tls-auth-clients", "no"]
        if self.l2_url:
            argv += ["--l2", self.l2_url]
        defaults = {"--threads": "2", "--memory": "64mb", "--policy": "lru", "--enable-debug-command": "yes"}
        for flag, value in defaults.items():
            if flag not in self.flags:
                argv += [flag, value]
        return argv + self.flags

    def launch(self):
        self.process = self.stage.run(self.name, self.argv(), env=self.env)

    def start(self):
        self.launch()
        until(lambda: self.answers_ping() or not self.process.alive(), START_DEADLINE_S, f"{self.name} answers PING")
        if not self.process.alive():
            return False
        if self.l2_url and "--requirepass" not in self.flags:
            self.wait_synced(START_DEADLINE_S)
        return True

    def info(self, section="everything"):
        with self.wire() as conn:
            return info_fields(conn.ask("INFO", section))

    def l1_items(self):
        return int(self.info()["l1_items"])

    def coherence_state(self):
        return self.info().get("coherence_state")

    def wait_synced(self, deadline_s=5.0):
        """At once if the node is alone."""
        if self.l2_url:
            until(lambda: self.coherence_state() == "SYNCED", deadline_s,
                  f"{self.name} is SYNCED with its L2")

    def catch_up(self):
        """What was written at L2 before this call has been announced here when it returns: it ends nothing that is read from now on."""
        with self.wire() as conn:
            until(lambda: isinstance(conn.ask("CACHE.LASTSEQ"), int), 10, f"a marker of {self.name} comes home")

    def admin(self, path):
        """(status, body) of a GET on the admin listener; (0, reason) if nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)


class RehearsalNode(Server):
    """redis-server in the part of a node: alone its own process, with L2 the L2 itself."""

    admin_port = 0

    def __init__(self, redis_server):
        self.redis_server = redis_server
        self.port, self.name = redis_server.port, "rehearsal"

    @property
    def process(self):
        return self.redis_server.process

    def coherence_state(self):
        return "SYNCED"

    def end(self):
        pass


class Stage:
    """Owns the processes of one test or one module."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.processes = []
        self.count = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.end()

    def tls(self):
        """What a client needs to come to a node of this stage by TLS; the node's certificate is made with the first."""
        if not (self.folder / "tls.crt").exists():
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3",
                            "-subj", "/CN=node", "-keyout", "tls.key", "-out", "tls.crt"], cwd=self.folder, check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def name(self, kind):
        self.count += 1
        return f"{kind}{self.count}"

    def run(self, name, argv, env=None):
        process = Process(name, argv, self.folder / f"{name}.log", env)
        self.processes.append(process)
        return process

    def redis(self, *flags):
        if shutil.which("redis-server") is None:
            raise AssertionError("redis-server is not installed: apt-get install redis-server")
        for _ in range(3):
            server = RedisServer(self, self.name("redis"), free_port(), flags)
            if server.start():
                return server
        raise AssertionError(f"redis-server does not start:\n{server.process.log()}")

    def node(self, *flags, l2=None, env=None):
        """A node that is ready; with an L2 (a RedisServer or a URL), one that is SYNCED."""
        if REHEARSAL:
            return RehearsalNode(l2 if isinstance(l2, RedisServer) else self.redis())
        for _ in range(3):
            node = self.node_not_started(*flags, l2=l2, env=env)
            if node.start():
                return node
            if "in use" not in node.process.log():
                break
        raise AssertionError(f"the node does not start: {' '.join(node.process.argv)}\n{node.process.log()}")

    def node_not_started(self, *flags, l2=None, env=None):
        if not pathlib.Path(TERRACED).exists():
            raise AssertionError(f"no node at {TERRACED}: run make, or set TERRACED")
        return Node(self, self.name("node"), getattr(l2, "url", l2), flags, free_port(), env)

    def logs(self):
        return "\n".join(f"--- log of {p.name} (pid {p.pid}, exit {p.popen.poll()}) ---\n{p.log()}"
                         for p in self.processes if os.path.basename(p.argv[0]) != "redis-server")

    def end(self):
        """AssertionError: one of ours crashed, or said that it is broken."""
        for process in reversed(self.processes):
            process.end()
        assert not any(process.is_broken() for process in self.processes), self.logs()
