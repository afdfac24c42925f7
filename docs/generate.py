#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes docs/reference.md from the tables the code is made of, so that it says what the code does.

    docs/generate.py            writes the page
    docs/generate.py --print    prints it (a test compares)
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FIELD = r'"((?:[^"\\]|\\.)*)"'

ROADS = {"ROAD_NODE": "the node", "ROAD_READ": "L1, filled from L2", "ROAD_L2": "L2, as written",
         "ROAD_LINE": "L2, on a connection of its own", "ROAD_LATER": "not in this version", "ROAD_NEVER": "refused"}


def text(match):
    return match.replace('\\"', '"').replace("|", "\\|")


def settings(path="server/options.def"):
    yield "| name | default | when | what |\n|---|---|---|---|"
    source = (ROOT / path).read_text()
    for name, default, when, what in re.findall(rf'OPTION\(\w+, \w+, {FIELD}, {FIELD}, [^,]+, [^,]+, (\w+), {FIELD}\)', source):
        yield f"| `{name}` | {'`' + default + '`' if default else ''} | {when.lower()} | {text(what)} |"


def all_settings():
    yield "## Settings\n"
    yield "A flag `--name value`, else a variable `TERRACE_NAME` (dashes as underscores), else a line `name = value` of the file"
    yield "(`;` or `#` begins a comment), else the default. In the file, a value that begins with a quote, single or double, is what"
    yield "stands between it and the one that ends it, with the escapes of redis.conf; any other value, and those of flags,"
    yield "variables and CONFIG SET, are taken as they are.\n"
    yield from settings()
    yield "\n## Settings of a namespace\n"
    yield "In the file, below a line `[namespace NAME]`: for the keys that begin with its prefix. All other keys are those of"
    yield "`default`, whose settings are `mode`, `policy` and what the others leave of `memory`. A reload (SIGHUP) changes what"
    yield "namespaces are; their settings alone change without a pause.\n"
    yield from settings("server/namespace_options.def")


def commands():
    yield "\n## Commands\n"
    yield "Who answers when the node has an L2; alone, the node answers all but those not in this version. Any other command"
    yield "that L2 knows is passed to it.\n"
    yield "| command | answered by | what |\n|---|---|---|"
    source = (ROOT / "server/commands.def").read_text()
    container = ""
    for kind, name, road, what in re.findall(
            rf'^(COMMAND|CONTAINER|SUBCOMMAND)\((?:\w+, )?{FIELD}, .*?(ROAD_\w+), {FIELD}, {FIELD}, {FIELD}, {FIELD}\)'.replace(
                FIELD + ", " + FIELD + ", " + FIELD + ", " + FIELD, r'"[^"]*", "[^"]*", "[^"]*", ' + FIELD), source, re.M):
        if kind == "CONTAINER":
            container = name
        full = f"{container} {name}" if kind == "SUBCOMMAND" else name
        if kind != "CONTAINER":
            yield f"| {full.upper()} | {ROADS[road]} | {text(what)} |"


def metrics():
    yield "\n## Counters (/metrics)\n"
    yield "| name | labels | what |\n|---|---|---|"
    source = (ROOT / "tiers/base/metrics.def").read_text()
    for name, labels, what in re.findall(rf'^METRIC\(\w+,\s*\w+,\s*{FIELD},\s*{FIELD},\s*{FIELD}\)', source, re.M):
        yield f"| `{name}` | {'`' + labels.replace(chr(92), '') + '`' if labels else ''} | {text(what)} |"


def page():
    lines = ["# Reference", "", "Made from `server/options.def`, `server/namespace_options.def`, `server/commands.def` and `tiers/base/metrics.def` by "
             "`docs/generate.py`.", ""]
    for part in all_settings(), commands(), metrics():
        lines.extend(part)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        sys.stdout.write(page())
    else:
        (ROOT / "docs/reference.md").write_text(page())
