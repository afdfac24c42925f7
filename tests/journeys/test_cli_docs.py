# SPDX-License-Identifier: BSD-3-Clause
"""docs/cli.md says what is so: its sessions are run, its recording is one."""

import json
import re
import subprocess

import pytest

import cli
from cli import TERRACE, address, environment
from harness import ROOT, until

pytestmark = pytest.mark.own

PAGE = (ROOT / "docs" / "cli.md").read_text()
NAMESPACE = "[namespace page]\nprefix = page:\nformat = managed\nttl = 30m\n"
FIGURE = re.compile(r"(\d[\d.]*|-)( ?(us|ms|s|k|M|B|KiB|MiB|GiB|%)\b)?([hmd]\d+[ms])?")


def sessions():
    """[(command, the lines that it prints)] of the page, in order."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:], []))
            else:
                found[-1][1].append(line)
    return found


def shape(lines):
    """Lines without what differs from run to run: figures, ids, how columns are laid out."""
    text = re.sub(r"\b[0-9a-f]{16}\b", "ID", "\n".join(lines))
    text = re.sub(r'\{"l1":\{.*?\}\}', "L1", text)
    text = re.sub(r"\d+m\d\ds|\d+h\d\dm", "#", text)
    text = re.sub(r"(ahead of|behind)", "off", text)
    return re.sub(r" +", " ", FIGURE.sub("#", text)).replace("# %", "#").strip()


@pytest.fixture(scope="module")
def nodes(module_stage):
    conf = module_stage.folder / "page.conf"
    conf.write_text(NAMESPACE)
    redis = module_stage.redis()
    both = [module_stage.node(str(conf), "--slowlog-log-slower-than", "10000000", l2=redis) for _ in range(2)]
    until(lambda: all(int(node.info()["coherence_nodes"]) == 2 for node in both), 5, "they hear each other")
    until(lambda: {one["state"] for one in cli.ask(both[0], "nodes", "--json").object["nodes"]} == {"SYNCED"}, 10, "SYNCED")
    both[0].l2_port = redis.port
    return both


def test_the_sessions_of_the_page_are_true(nodes):
    names = {f":{nodes[0].port}": ":7379", f":{nodes[1].port}": ":7380", f":{nodes[0].l2_port}": ":6379"}
    assert len(sessions()) > 20
    for command, expected in sessions():
        words = command.replace("terrace ", f"{TERRACE} --node {address(nodes[0])} ", 1)
        done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, timeout=60, check=False, env=environment())
        shown = done.stderr + done.stdout
        for own, documented in names.items():
            shown = shown.replace(own, documented)
        lines = shown.splitlines()
        if command == "terrace nodes":
            lines[1:], expected[1:] = sorted(shape([line]) for line in lines[1:]), sorted(shape([line]) for line in expected[1:])
        assert shape(lines) == shape(expected), f"$ {command}\n{shown}"


def test_every_verb_and_global_option_stands_on_the_page():
    help_text = cli.run("--help").text
    verbs = [line.split()[0] for line in help_text.split("\n\n")[1].splitlines()]
    for verb in verbs:
        assert re.search(rf"^#+ {verb}\b|`{verb}\b|\bterrace {verb}\b", PAGE, re.M), verb
    for option in re.findall(r"--[a-z-]+", help_text.split("Options")[1].split("Environment")[0]):
        assert option in ("--help", "--version") or f"`{option}" in PAGE, option
    for verb in verbs:
        if verb == "check":
            continue
        for option in re.findall(r"^  (?:-\w, )?(--[a-z-]+)", cli.run(verb, "--help").text, re.M):
            assert option in PAGE, (verb, option)


def test_every_check_of_the_doctor_stands_on_the_page(nodes):
    rows = re.findall(r"^\| ([a-z0-9, -]+) \|", PAGE.split("## doctor")[1], re.M)
    named = {name for row in rows for name in row.split(", ")} - {"check"}
    found = cli.ask(nodes[0], "doctor", "--json").object["nodes"][0]["checks"]
    assert named == {one["check"] for one in found}


def test_the_recording_is_one():
    """asciicast v2, of a terminal that was left as it was found; with what the page promises to see."""
    head, *events = [json.loads(line) for line in (ROOT / "docs" / "top.cast").read_text().splitlines()]
    assert head["version"] == 2 and head["width"] == 118 and head["height"] == 28
    assert [event[0] for event in events] == sorted(event[0] for event in events) and {event[1] for event in events} == {"o"}
    text = "".join(event[2] for event in events)
    assert text.startswith("\x1b[?1049h") and text.rstrip().endswith("\x1b[?1049l")
    assert "2 of 2 nodes" in text and "UNREACHABLE" in text and "by bytes" in text
