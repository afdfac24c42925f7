# SPDX-License-Identifier: BSD-3-Clause
"""deploy/RUNBOOK.md and docs/warming.md say what is so: their commands are run, of the runbook against nodes in the state of each
page, and print what stands there; and every metric, setting, command, verb, field of INFO and event of the log that they name
exists."""

import json
import re
import subprocess

import pytest

import cli
from cli import TERRACE
import warm
from harness import ROOT, free_port, stand_still, until

pytestmark = pytest.mark.own

PAGE = (ROOT / "deploy" / "RUNBOOK.md").read_text()
WARMING = (ROOT / "docs" / "warming.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
MANAGED = "[namespace a]\nprefix = a:\nformat = managed\nttl = 1h\n"


def sessions(text):
    """[(command, the lines that it prints)] of a page, in order."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def pattern(lines):
    """What is printed must match it: `...` on a line of its own is any lines, within a line any text; spaces are any number."""
    parts = [r"(?:.*\n)*" if line == "..." else
             r".*".join(re.sub(r"(\\ )+", " +", re.escape(part)) for part in line.split("...")) + r"\n" for line in lines]
    return re.compile("".join(parts))


def check(state, text):
    for command, expected in sessions(text):
        wanted = pattern(expected)
        shown = []

        def says(command=command, wanted=wanted, shown=shown):
            shown[:] = [state.run(command)]
            return wanted.fullmatch(shown[0])
        try:
            until(says, 20, "as documented", every_s=0.2)  # beats, samplers and jobs take their time
        except AssertionError as late:
            raise AssertionError(f"{late}\n$ {command}\n{shown[0]}\nis not\n" + "\n".join(expected)) from None


# --- the states ---

class State:
    """A node, how it is reached, and its Redis."""

    def __init__(self, node, redis=None):
        self.node = node
        self.ports = {"7379": node.port, "7380": node.admin_port, "6379": redis.port if redis else 0}

    def run(self, command):
        words = re.sub(r"\b(7379|7380|6379)\b", lambda port: str(self.ports[port[0]]), command)
        words = re.sub(r"^terrace ", f"{TERRACE} --node 127.0.0.1:{self.node.port} ", words)
        done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, timeout=60, check=False, env=cli.environment())
        return (done.stdout + done.stderr).rstrip("\n") + "\n"


def conf(stage, name, text):
    path = stage.folder / name
    path.write_text(text)
    return str(path)


def never_reached(stage):
    node = stage.node_not_started(l2=f"redis://127.0.0.1:{free_port()}")
    node.launch()
    until(node.answers_ping, 15, "the node answers")
    return State(node)


def away(stage):
    redis = stage.redis()
    node = stage.node(l2=redis)
    redis.end()
    until(lambda: node.coherence_state() == "DETACHED", 10, "the bus is lost")
    return State(node, redis)


def stands_still(stage):
    redis = stage.redis()
    node = stage.node("--l2-timeout", "300ms", l2=redis)
    stand_still(redis.process)
    until(lambda: node.info("coherence")["coherence_state"] == "DETACHED", 15, "no beat comes home")
    return State(node, redis)


def serving(stage):
    redis = stage.redis()
    node = stage.node("--slowlog-log-slower-than", "0", l2=redis)
    client = node.client()
    client.set("k", "v")
    client.get("k")
    return State(node, redis)


def evicting(stage):
    redis = stage.redis("--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    return State(stage.node(l2=redis), redis)


def disagreeing(stage):
    redis = stage.redis()
    ours = stage.node(conf(stage, "ours.conf", MANAGED), l2=redis)
    stage.node(conf(stage, "theirs.conf", MANAGED.replace("a:", "b:")), l2=redis)
    until(lambda: "DISAGREES" in cli.ask(ours, "nodes").text and "another prefix" in cli.ask(ours, "nodes").text, 10, "they heard each other")
    return State(ours, redis)


def crowded(stage):
    node = stage.node("--maxclients", "5")
    state = State(node)
    state.crowd = [node.wire() for _ in range(4)]
    for conn in state.crowd:
        assert conn.ask("PING") == b"PONG"
    return state


def with_quota(stage):
    return State(stage.node(conf(stage, "quota.conf", MANAGED + "max-ops = 5\n"), l2=stage.redis()))


def behind(stage):
    redis = stage.redis()
    node = stage.node(conf(stage, "behind.conf", MANAGED + "write = behind\n"), "--behind-dir", str(stage.folder / "behind"), l2=redis)
    stand_still(redis.process)
    assert node.client().set("a:k", "v")
    until(lambda: node.info("l2")["behind_entries"] == "1", 5, "it waits")
    return State(node, redis)


def that_was_asked(stage, redis, keys=200):
    """A node whose clients read so many keys, and which has told the others."""
    node = stage.node(l2=redis)
    with node.client() as client:
        client.mset({f"k:{number}": "v" * 100 for number in range(keys)})
        for _ in range(3):
            client.mget([f"k:{number}" for number in range(keys)])
    until(lambda: redis.client(db=15).hlen("terrace:hot") == 1, 15, "its hot list is in L2")
    return node


def warms(stage):
    redis = stage.redis()
    that_was_asked(stage, redis)
    node = stage.node_not_started("--warm-rate", "1", "--warm-deadline", "1h", l2=redis)
    node.launch()
    until(lambda: "warming:" in node.admin("/readyz")[1], 15, "it warms")
    return State(node, redis)


def with_a_damaged_snapshot(stage):
    redis, folder = stage.redis(), stage.folder / "snapshots"
    node = stage.node("--snapshot-dir", str(folder), l2=redis)
    with node.client() as client:
        client.set("k", "v")
        client.get("k")
    assert node.process.end() == 0
    path, = folder.glob("*.snapshot")
    path.write_bytes(path.read_bytes()[:-1])
    assert node.start()
    return State(node, redis)


def with_a_slow_job(stage):
    redis = stage.redis()
    node = stage.node(l2=redis)
    warm.joined(redis, 1)
    assert warm.submit(node, {"keys": [f"k:{number}" for number in range(1000)]}, rate=1) == 1
    until(lambda: warm.status(node, 1)["state"] == "running", 10, "it has begun")
    return State(node, redis)


def with_a_full_queue(stage):
    redis = stage.redis()
    node = stage.node("--warm-rate", "0", l2=redis)  # it takes no part: all of them wait
    with node.client() as client:
        pipe = client.pipeline(transaction=False)
        for number in range(1000):
            pipe.execute_command("CACHE.WARM", "SUBMIT", json.dumps({"source": {"keys": [f"k:{number}"]}}))
        assert len(pipe.execute()) == 1000
    return State(node, redis)


STATES = {
    "A new node is not ready, since it warms": warms,
    "A snapshot was refused": with_a_damaged_snapshot,
    "A warm job does not end": with_a_slow_job,
    "Warm jobs are refused": with_a_full_queue,
    "A node is not ready, since it never reached its L2": never_reached,
    "L2 is away": away,
    "L2 answers nobody": stands_still,
    "L2 is another process": serving,
    "L2 may evict the nodes' keys": evicting,
    "Nodes disagree about namespaces": disagreeing,
    "Clients are refused": crowded,
    "Few hits, much load on L2": serving,
    "Requests are slow": serving,
    "A namespace is at its quota": with_quota,
    "Writes wait on the node's disk": behind,
    "A rolling restart": serving,
}


def test_every_page_with_commands_has_its_state():
    assert {name for name, text in SECTIONS.items() if sessions(text)} == set(STATES)
    for name, text in SECTIONS.items():
        parts = re.findall(r"^\*\*(\w+)\*\*", text, re.M)
        assert parts in ([], ["Seen", "Why", "Do"]), name


@pytest.mark.parametrize("section", STATES)
def test_what_the_page_shows_is_what_a_node_in_that_state_says(stage, section):
    try:
        check(STATES[section](stage), SECTIONS[section])
    finally:
        for process in stage.processes:
            if process.alive():
                stand_still(process, False)


def test_what_the_page_of_warming_shows_is_so(stage):
    redis = stage.redis()
    (stage.folder / "warm").mkdir()
    (stage.folder / "warm" / "requests.log").write_text("1 w:1 3 0\n2 w:2 3 0\n3 w:1 3 0\n")
    nodes = [stage.node("--snapshot-dir", str(stage.folder / "snapshots"), "--warm-dir", str(stage.folder / "warm"), "--admin-token", "secret", l2=redis) for _ in range(2)]
    warm.joined(redis, 2)
    assert len(sessions(WARMING)) > 3
    check(State(nodes[0], redis), WARMING)


# --- what is named exists ---

def named(text=PAGE + WARMING):
    """What stands between backticks, outside of sessions and of proofs."""
    text = re.sub(r"^\|.*`test_\w+\.\w+.*$", "", re.sub(r"```.*?```", "", text, flags=re.S), flags=re.M)
    return set(re.findall(r"`([^`\n]+)`", text))


@pytest.fixture(scope="module")
def node(module_stage):
    return module_stage.node(conf(module_stage, "all.conf", MANAGED), "--behind-dir", str(module_stage.folder / "behind"),
                             "--snapshot-dir", str(module_stage.folder / "snapshots"), l2=module_stage.redis())


def test_every_metric_that_is_named_exists(node):
    metrics = node.admin("/metrics")[1]
    names = {name for each in named() for name in re.findall(r"\bterrace_\w+|\bprocess_\w+", each)}
    assert len(names) > 15
    assert not [name for name in names if not re.search(rf"^(# TYPE )?{name}(\{{| )", metrics, re.M)]


def test_every_field_of_info_and_event_of_the_log_that_is_named_exists(node):
    fields = set(node.info())
    events = set(re.findall(r'"([a-z0-9_]+)"', "".join(path.read_text() for path in (ROOT / "server").glob("*.c"))))
    words = {word for word in named() if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", word) and not word.startswith(("terrace_", "process_"))}
    assert len(words) > 5 and not words - fields - events


def test_every_setting_command_and_verb_that_is_named_exists():
    settings = {match for table in ("options", "namespace_options")
                for match in re.findall(r'^OPTION\(\w+, \w+, "([^"]+)"', (ROOT / "server" / f"{table}.def").read_text(), re.M)}
    with_dash = {word.split(" = ")[0] for word in named() if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+( = .*)?", word)}
    assert len(with_dash) > 8 and not with_dash - settings
    table = (ROOT / "server" / "commands.def").read_text()
    known = {name.upper() for name in re.findall(r'^(?:COMMAND|CONTAINER|SUBCOMMAND)\w*\((?:\w+, )?(?:"[a-z.]+", (?="))?"([^"]+)"', table, re.M)}
    for words in (each.split() for each in named() if re.fullmatch(r"[A-Z][A-Z.]+( [^/].*)?", each)):
        assert words[0] in known, words
    verbs = {line.split()[0] for line in cli.run("--help").text.split("\n\n")[1].splitlines()}
    used = {each.split()[1] for each in named() | {command for command, _ in sessions(PAGE + WARMING)} if each.startswith("terrace ")}
    assert used and not used - verbs
