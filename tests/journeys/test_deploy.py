# SPDX-License-Identifier: BSD-3-Clause
"""What deploy/ has for those who run nodes: the systemd unit and what the node says to a service manager, as far as this can
be shown without being process 1; the image and the composition, as far as this can be shown without Docker."""

import ctypes
import functools
import ipaddress
import json
import os
import pathlib
import platform
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
import yaml

import harness
from harness import ROOT, RedisServer, free_port, until

pytestmark = pytest.mark.own

DEPLOY = ROOT / "deploy"
DOCKER = DEPLOY / "docker"
UNIT = DEPLOY / "systemd" / "terraced.service"
OPTIONS = (ROOT / "server" / "options.def").read_text()


def run(*argv, **options):
    return subprocess.run([str(arg) for arg in argv], capture_output=True, text=True, check=False, timeout=60, **options)


def setting(name):
    """The last value of a line of the unit."""
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.M)[-1]


# --- what the node says to a service manager ---

class Manager:
    """The socket of one."""

    def __init__(self, address):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.address = address
        self.lines = []  # all that was said, in order

    def environment(self, **more):
        return {**os.environ, "NOTIFY_SOCKET": self.address, **more}

    def listen(self, for_s=15.0):
        """The lines of the next datagram; empty: none within the time."""
        self.sock.settimeout(for_s)
        try:
            lines = self.sock.recv(4096).decode().splitlines()
        except TimeoutError:
            return []
        self.lines += lines
        return lines

    def hear(self, line):
        """Until that line is said, and all until then; others come in between."""
        heard = []
        while line not in heard:
            came = self.listen()
            assert came, f"not within 15 s: {line}, but {heard}"
            heard += came
        return heard


@pytest.fixture
def manager(tmp_path):
    with_path = Manager(str(tmp_path / "notify"))
    yield with_path
    with_path.sock.close()


def test_a_service_manager_is_told_when_the_node_is_ready_and_what_is_missing_before(stage, manager):
    redis = RedisServer(stage, "late", free_port(), [])
    node = stage.node_not_started(l2=redis, env=manager.environment())
    node.launch()
    before = manager.listen()
    assert len(before) == 1 and before[0].startswith("STATUS=") and "L2" in before[0]
    assert node.admin("/readyz")[0] == 503
    redis.start()
    assert not [line for line in manager.hear("READY=1") if line.startswith("STOPPING")]
    assert node.admin("/readyz")[0] == 200

    redis.end()  # it serves what it has: that is no reason to call it unready
    node.process.signal(signal.SIGTERM)
    manager.hear("STOPPING=1")
    assert manager.lines.count("READY=1") == manager.lines.count("STOPPING=1") == 1
    assert node.process.wait() == 0


def test_a_reload_is_told_and_its_end_as_well_if_the_file_is_bad(stage, manager, tmp_path):
    conf = tmp_path / "node.conf"
    conf.write_text("maxclients = 100\n")
    node = stage.node(conf, env=manager.environment())
    manager.hear("READY=1")
    for text in ("maxclients = 200\n", "maxclients = many\n"):
        conf.write_text(text)
        before_us = time.monotonic_ns() // 1000
        node.process.signal(signal.SIGHUP)
        told = manager.hear("RELOADING=1")
        at_us, = (int(line.partition("=")[2]) for line in told if line.startswith("MONOTONIC_USEC="))
        assert before_us <= at_us <= time.monotonic_ns() // 1000
        assert "READY=1" not in told
        manager.hear("READY=1")
    assert node.client().config_get("maxclients") == {"maxclients": "200"}


class Thread:
    """One thread of a process of ours, which ptrace(2) lets stand still while the others go on."""
    SEIZE, INTERRUPT, DETACH, WAIT_ANY = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, process, name):
        self.id, = (int(task.name) for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir()
                    if (task / "comm").read_text().strip() == name)

    def ptrace(self, request):
        if ctypes.CDLL(None, use_errno=True).ptrace(request, self.id, None, None) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        self.ptrace(self.SEIZE)
        self.ptrace(self.INTERRUPT)
        os.waitpid(self.id, self.WAIT_ANY)  # it has stopped

    def __exit__(self, *exc_info):
        self.ptrace(self.DETACH)


@pytest.mark.parametrize("thread", ["worker-1", "control"])
def test_a_loop_that_hangs_is_not_hidden_from_the_watchdog_by_those_that_turn(stage, thread):
    manager = Manager(f"@terrace-test-{os.getpid()}-{free_port()}")
    node = stage.node(env=manager.environment(WATCHDOG_USEC="600000"))
    for _ in range(2):
        manager.hear("WATCHDOG=1")
    with Thread(node.process, thread):
        until(lambda: not manager.listen(0.7), 5, "no word for the time of the watchdog")
    manager.hear("WATCHDOG=1")
    manager.sock.close()


# --- the unit ---

def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path):
    unit = tmp_path / "terraced.service"
    program = pathlib.Path(harness.TERRACED).resolve()  # systemd wants the whole path, make test says that from the root
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={program}", UNIT.read_text(), flags=re.M))
    done = run("systemd-analyze", "verify", "--man=no", unit)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    bad = tmp_path / "bad.service"
    bad.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSeconds="))
    assert "WatchdogSeconds" in run("systemd-analyze", "verify", "--man=no", bad).stderr


def test_the_unit_may_do_little():
    exposure = run("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=15", UNIT)
    assert exposure.returncode == 0, exposure.stdout
    said = re.search(r"exposure level for terraced.service: ([\d.]+)", exposure.stdout).group(1)
    assert f"systemd-analyze security says {said}" in UNIT.read_text()


@functools.cache
def calls_of(group):
    """The system calls of a group, as systemd has it: @basic-io ..."""
    told = run("systemd-analyze", "--no-pager", "syscall-filter", group).stdout.splitlines()[1:]
    names = {line.strip() for line in told if line.strip() and not line.strip().startswith("#")}
    return frozenset().union(*(calls_of(name) if name.startswith("@") else {name} for name in names))


def allowed_calls():
    """What the lines of SystemCallFilter leave, one after the other."""
    allowed = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.M):
        names = set().union(*(calls_of(name) if name.startswith("@") else {name} for name in line.lstrip("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


@pytest.mark.skipif(platform.machine() != "x86_64" or "JOURNEY_SANITIZED" in os.environ, reason="numbers of x86-64; what sanitizers call")
def test_a_node_makes_no_system_call_that_the_unit_forbids(stage):
    allowed = allowed_calls()
    assert "epoll_wait" in allowed and not allowed & {"setrlimit", "setuid", "mount", "ptrace", "sched_setaffinity"}
    confined = [sys.executable, pathlib.Path(__file__).with_name("confined.py"), ",".join(allowed)]
    assert run(*confined, "/usr/bin/nice", "true").returncode == -signal.SIGSYS, "what is forbidden kills"
    folders = {name: stage.folder / name for name in ("snapshot", "behind", "warm")}
    for folder in folders.values():
        folder.mkdir()
    (folders["warm"] / "keys").write_text("a\nb\n")
    conf = stage.folder / "confined.conf"
    conf.write_text("maxclients = 100\n" + "".join(f"{name}-dir = {folder}\n" for name, folder in folders.items())
                    + "[namespace later]\nprefix = later:\nformat = managed\nwrite = behind\n")
    node = stage.node_not_started(str(conf), l2=stage.redis())
    plain = node.argv()
    node.argv = lambda: [*confined, *plain]
    assert node.start(), node.process.log()
    with node.client() as client:
        client.mset({"a": "1", "b": "2"})
        client.set("later:c", "3")
        assert client.get("a") == b"1" and client.get("later:c") == b"3"
        client.execute_command("CACHE.SNAPSHOT")
        job = client.execute_command("CACHE.WARM", "SUBMIT", '{"source": {"file": "keys"}}')
        until(lambda: b"done" in client.execute_command("CACHE.WARM", "STATUS", job), 20, "a file is read")
        node.process.signal(signal.SIGHUP)
        until(lambda: "event=reload" in node.process.log(), 10, "settings are read again")
    assert node.admin("/metrics")[0] == 200
    node.process.signal(signal.SIGTERM)
    assert node.process.wait(20) == 0
    node.start()
    assert node.info()["snapshot_found"] == "loaded"


def test_the_unit_hides_nothing_of_proc_that_the_node_reads():
    sources = [path.read_text() for folder in ("server", "tiers") for path in (ROOT / folder).rglob("*.c")]
    read = {name for text in sources for name in re.findall(r'"/proc/(\w+)', text)}
    assert "sys" in read, "which boot this is"
    assert read <= {"self"} or not re.search("^ProcSubset=pid", UNIT.read_text(), re.M)


def test_the_times_of_the_unit_fit_those_of_the_node():
    drain_ms = int(re.search(r"LIMIT_DRAIN_MS +(\d+)", (ROOT / "protocol" / "limits.h").read_text()).group(1))
    assert int(setting("TimeoutStopSec")) >= 2 * (drain_ms / 1000 + 2)
    deadline = re.search(r'OPTION\(TIME, \w+, "warm-deadline", "(\d+)s"', OPTIONS)
    assert deadline is None or int(setting("TimeoutStartSec")) >= 2 * int(deadline.group(1))
    assert int(setting("LimitNOFILE")) >= int(re.search(r'"maxclients", "(\d+)"', OPTIONS).group(1)) + 128


def test_settings_that_are_wrong_end_the_node_so_that_the_unit_does_not_try_again(tmp_path):
    conf = tmp_path / "bad.conf"
    conf.write_text("no-such-setting = 1\n")
    assert run(harness.TERRACED, conf).returncode == int(setting("RestartPreventExitStatus"))


# --- the example configuration ---

def test_every_setting_of_the_example_configuration_can_be_set(tmp_path):
    text = (DEPLOY / "terraced.conf").read_text()
    names = re.findall(r"^;?([a-z0-9-]+) = ?", text, re.M)
    assert set(re.findall(r'^OPTION\(\w+, \w+, "([^"]+)"', OPTIONS, re.M)) <= set(names)
    assert "good" in run(harness.TERRACED, DEPLOY / "terraced.conf", "--check-config").stdout
    every = tmp_path / "every.conf"
    every.write_text(re.sub(r"^;([a-z0-9-]+ = ?|\[)", r"\1", text, flags=re.M))
    done = run(harness.TERRACED, every, "--check-config")
    assert (done.returncode, done.stdout) == (0, "configuration is good\n"), done.stderr
    assert all(place.startswith(f"/var/lib/{setting('StateDirectory')}/") for place in re.findall(r"^\S+-dir = (.+)$", text, re.M))


# --- the image; Docker itself cannot be had where these tests run ---

def instructions():
    """(word, rest) of each instruction of the Dockerfile, in order."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(), flags=re.M))
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def stages():
    """The instructions of each stage, FROM first."""
    every = instructions()
    begins = [at for at, (word, _) in enumerate(every) if word == "FROM"] + [len(every)]
    return [every[begin:end] for begin, end in zip(begins, begins[1:])]


def only(stage, word):
    found, = (rest for each, rest in stage if each == word)
    return found


@functools.cache
def packaged():
    """The package that brought each file of this machine."""
    lists = pathlib.Path("/var/lib/dpkg/info").glob("*.list")
    return {path: each.stem.split(":")[0] for each in lists for path in each.read_text().splitlines()}


def owner(path):
    real = os.path.realpath(path)
    return next(packaged()[name] for name in (path, real, real.removeprefix("/usr")) if name in packaged())


def make_variable(name):
    return run("make", "-s", "-f", "-", cwd=ROOT, input=f"include Makefile\nshow: ; @echo $({name})\n.DEFAULT_GOAL := show\n",
               env={"PATH": os.environ["PATH"]}).stdout.split()


def test_the_image_is_built_by_the_targets_of_the_makefile():
    build, _ = stages()
    targets = re.findall(r"^make (\S+)(.*)$", "\n".join(rest for word, rest in build if word == "RUN"), re.M)
    assert [name for name, _ in targets] == ["build-deps", "build", "install"]
    makefile = (ROOT / "Makefile").read_text()
    assert all(re.search(rf"^(\w[\w-]* )*{name}( \w[\w-]*)*:", makefile, re.M) for name, _ in targets)
    destdir = re.search(r"DESTDIR=(\S+)", targets[-1][1]).group(1)
    copied = [rest.split()[1:] for word, rest in stages()[1] if word == "COPY"]
    assert copied == [[f"{destdir}/usr/bin/", "/usr/bin/"], [f"{destdir}/etc/terrace/", "/etc/terrace/"]]


def test_what_the_image_is_built_of_has_every_library_and_tool():
    packages = make_variable("BUILD_PACKAGES")
    for library in make_variable("LIBRARIES"):
        folder = run("pkg-config", "--variable=pcfiledir", library).stdout.strip()
        assert owner(f"{folder}/{library}.pc") in packages, library
    for tool in ("gcc", "protoc-c", "objcopy", "make", "python3"):
        there = os.path.realpath(run("which", "-a", tool, env={"PATH": "/usr/bin"}).stdout.split()[0])
        brought = owner(there)
        assert any(brought.startswith(name.removesuffix("-compiler")) for name in packages), (tool, brought)


def test_the_image_has_the_packages_that_the_programs_need_and_no_other():
    installed = re.search(r"--no-install-recommends ([a-z0-9. -]+)", only(stages()[1], "RUN")).group(1).split()
    needed = set()
    for program in ("terraced", "terrace", "terrace-bench"):
        path = ROOT / "build" / "release" / program
        direct = set(re.findall(r"NEEDED +(\S+)", run("objdump", "-p", path).stdout))
        where = dict(re.findall(r"^\s*(\S+) => (/\S+)", run("ldd", path).stdout, re.M))
        needed |= {owner(where[name]) for name in direct}
    assert set(installed) - {"ca-certificates"} == needed - {"libc6"}


def test_the_image_runs_as_nobody_and_ends_by_the_signal_that_drains():
    _, image = stages()
    user, group = only(image, "USER").split(":")
    assert int(user) > 0 and int(group) > 0
    assert f"-o {user} -g {group} -m 700 {only(image, 'VOLUME')}" in only(image, "RUN")
    assert only(image, "STOPSIGNAL") == "SIGTERM"
    assert json.loads(only(image, "ENTRYPOINT")) == ["/usr/bin/terraced"]
    assert json.loads(only(image, "CMD")) == ["/etc/terrace/terraced.conf"]
    assert {word.split(":")[1].split("-")[0] for word in (only(stage, "FROM") for stage in stages())} == {"bookworm"}


def test_the_health_check_of_the_image_knows_a_node_that_answers_from_one_that_does_not(stage):
    command = only(stages()[1], "HEALTHCHECK").split(" CMD ", 1)[1]
    node = stage.node("--requirepass", "secret")
    command = command.replace(":7379", f":{node.port}").replace("--timeout 2s", "--timeout 300ms")
    env = {"PATH": f"{ROOT / 'build' / 'release'}:{os.environ['PATH']}", "TERRACE_REQUIREPASS": "secret"}
    assert run("/bin/sh", "-c", command, env=env).returncode == 0
    harness.stand_still(node.process)
    assert run("/bin/sh", "-c", command, env=env).returncode != 0
    harness.stand_still(node.process, False)
    node.end()
    assert run("/bin/sh", "-c", command, env=env).returncode != 0


# --- the composition ---

@pytest.fixture(scope="module")
def composition():
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


def nodes_of(composition):
    return {name: service for name, service in composition["services"].items() if service["image"] == "terrace"}


def bytes_of(text):
    number, unit = re.fullmatch(r"(\d+)([kmg])b?", text).groups()
    return int(number) << {"k": 10, "m": 20, "g": 30}[unit]


def test_each_node_of_the_composition_takes_its_settings(composition):
    nodes = nodes_of(composition)
    assert len(nodes) == 3
    subnet = ipaddress.ip_network(composition["networks"]["terrace"]["ipam"]["config"][0]["subnet"])
    for service in nodes.values():
        settings = service["environment"]
        done = run(harness.TERRACED, DEPLOY / "terraced.conf", "--check-config", env=settings)
        assert (done.returncode, done.stdout) == (0, "configuration is good\n"), done.stderr
        first, second = settings["TERRACE_LISTEN"].split()
        address = service["networks"]["terrace"]["ipv4_address"]
        assert (first, second) == (f"{address}:7379", "127.0.0.1:7379")  # what others are told; what the health check asks
        assert ipaddress.ip_address(address) in subnet
        assert bytes_of(settings["TERRACE_MEMORY"]) <= bytes_of(service["mem_limit"]) / 2
        assert settings["TERRACE_L2"] == "redis://redis:6379" and "redis" in composition["services"]


def test_the_parts_of_the_composition_fit_together(composition):
    services, volume = composition["services"], only(stages()[1], "VOLUME")
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(set(published)) == len(published) == 6 and all(port.startswith("127.0.0.1:") for port in published)
    for name, service in nodes_of(composition).items():
        assert service["volumes"] == [f"{name}:{volume}"] and name in composition["volumes"]
        assert (DOCKER / service["build"]["context"]).resolve() == ROOT and (ROOT / service["build"]["dockerfile"]).exists()
        assert service["depends_on"] == {"redis": {"condition": "service_healthy"}} and services["redis"]["healthcheck"]["test"]
        assert service["read_only"] and service["cap_drop"] == ["ALL"]
        assert int(service["stop_grace_period"].removesuffix("s")) >= 2 * 7


def test_the_redis_of_the_composition_keeps_what_the_nodes_write_there(stage, composition):
    redis = stage.redis(*composition["services"]["redis"]["command"][1:])
    node = stage.node(l2=redis)
    assert redis.client().config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lfu"}
    assert node.info()["l2_may_evict_nodes_keys"] == "0"
    check = composition["services"]["redis"]["healthcheck"]["test"]
    assert run(*check[1:2], "-p", redis.port, *check[2:]).stdout == "PONG\n"
