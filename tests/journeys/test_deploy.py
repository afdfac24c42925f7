# SPDX-License-Identifier: BSD-3-Clause
"""What deploy/ has for those who run nodes: the systemd unit and what the node says to a service manager, as far as this can
be shown without being process 1."""

import ctypes
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest

import harness
from harness import ROOT, RedisServer, free_port, until

pytestmark = pytest.mark.own

DEPLOY = ROOT / "deploy"
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
            assert came, f"no {line}, but {heard}"
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
    unit.write_text(re.sub(r"^ExecStart=\S+", f"ExecStart={harness.TERRACED}", UNIT.read_text(), flags=re.M))
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
