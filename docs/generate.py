#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes docs/reference.md, docs/compatibility.md and deploy/terraced.conf from the tables the code is made of, so that they say
what the code does. Beside those tables: docs/differences.txt, what differs from Redis on purpose, and docs/redis-commands.txt.

    docs/generate.py                          writes all of them
    docs/generate.py --print [compatibility]  prints one (a test compares)
"""
import pathlib
import re
import sys
import textwrap

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


def client_options():
    yield "\n## Options of libterrace\n"
    yield "Of a client in C ([client/terrace.h](../client/terrace.h): `terrace_options_set`, or a URL), and of `terrace --url`.\n"
    yield "| name | default | what |\n|---|---|---|"
    source = (ROOT / "client/options.def").read_text()
    for name, default, choices, _, what in re.findall(
            rf'^OPTION\({FIELD},\s*\w+,\s*\w+,\s*{FIELD},.*?(NULL|{FIELD}),\s*{FIELD}\)\s*$', source, re.M):
        one_of = f"One of {choices[1:-1].replace('|', ', ')}. " if choices != "NULL" else ""
        yield f"| `{name}` | {'`' + default + '`' if default else ''} | {one_of}{text(what)} |"


def table_of_commands():
    """(name in upper case, road, what it does) of each command that is no container, in the table's order."""
    source = (ROOT / "server/commands.def").read_text()
    container = ""
    for kind, name, road, what in re.findall(
            rf'^(COMMAND|CONTAINER|SUBCOMMAND)(?:_OF\(\w+, "[^"]*", |\((?:\w+, )?){FIELD}, .*?(ROAD_\w+), {FIELD}, {FIELD}, {FIELD}, {FIELD}\)'.replace(
                FIELD + ", " + FIELD + ", " + FIELD + ", " + FIELD, r'"[^"]*", "[^"]*", "[^"]*", ' + FIELD), source, re.M):
        if kind == "CONTAINER":
            container = name
        elif kind == "SUBCOMMAND":
            yield f"{container} {name}".upper(), road, what
        else:
            yield name.upper(), road, what


def commands():
    yield "\n## Commands\n"
    yield "Who answers when the node has an L2; alone, the node answers all but those not in this version. Any other command"
    yield "that L2 knows is passed to it.\n"
    yield "| command | answered by | what |\n|---|---|---|"
    for name, road, what in table_of_commands():
        yield f"| {name} | {ROADS[road]} | {text(what)} |"


def other_metrics():
    """(name, type, what) of what server/metrics_text.c makes by itself."""
    source = (ROOT / "server/metrics_text.c").read_text()
    found = {}
    string = r'"(?:[^"\\]|\\.)*"'
    words = rf'((?:{string}\s*)+)'
    patterns = [(None, rf'{FIELD},\s*"(counter|gauge)",\s*{words}\}}'),
                (None, rf'page_(?:family|integer|real)\(\s*page, {FIELD}, "(counter|gauge|histogram)",[^;]*?{words}\);'),
                (None, rf'name\[\] = {FIELD};.*?page_family\(page, name, "(counter)",\s*{words}\)'),
                ("gauge", rf'\{{"(terrace_namespace_quota_\w+)",\s*{words}\}}')]
    for kind, match in [(kind, match) for kind, pattern in patterns for match in re.finditer(pattern, source, re.DOTALL)]:
        name, type_ = match[1], kind or match[2]
        found[name] = type_, "".join(re.findall(FIELD, match[match.lastindex]))
    for name in re.findall(r'"((?:terrace|process)_[a-z0-9_]+)"', source):
        assert name in found, f"metrics_text.c: nothing is said of {name}"
    for name in sorted(found, key=lambda name: source.index(f'"{name}"')):
        yield name, *found[name]


def metrics():
    yield "\n## Counters (/metrics)\n"
    yield "| name | labels | what |\n|---|---|---|"
    source = (ROOT / "tiers/base/metrics.def").read_text()
    for name, labels, what in re.findall(rf'^METRIC\(\w+,\s*\w+,\s*{FIELD},\s*{FIELD},\s*{FIELD}\)', source, re.M):
        yield f"| `{name}` | {'`' + labels.replace(chr(92), '') + '`' if labels else ''} | {text(what)} |"
    yield "\nOf each namespace, with the label `namespace`:\n"
    yield "| name | labels | what |\n|---|---|---|"
    source = (ROOT / "tiers/base/tally.def").read_text()
    for name, labels, what in re.findall(rf'^TALLY\(\w+,\s*"\w+",\s*{FIELD},\s*{FIELD},\s*{FIELD}\)', source, re.M):
        yield f"| `{name}` | {'`' + labels.replace(chr(92), '') + '`' if labels else ''} | {text(what)} |"
    yield "\n## Other figures (/metrics)\n"
    yield "Those of L2, the bus and warming are there when the node has an L2.\n"
    yield "| name | type | what |\n|---|---|---|"
    for name, type_, what in other_metrics():
        yield f"| `{name}` | {type_} | {text(what)} |"


def differences():
    """(names, where, what, why) of each line."""
    for line in (ROOT / "docs/differences.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            names, where, what, why = (part.strip() for part in line.split(" | "))
            yield [name.strip() for name in names.split(",")], where, what, why


def commands_of_redis():
    """(group, [name in upper case, a space before a subcommand])"""
    for line in (ROOT / "docs/redis-commands.txt").read_text().splitlines():
        if not line.startswith("#"):
            group, names = line.split(": ")
            yield group, [name.replace("|", " ").upper() for name in names.split()]


WHERE = {"both": "", "l2": "with L2: ", "alone": "alone: "}
REFUSED = "refused"


def served_by(name, roads):
    """(with an L2, alone)"""
    road = roads.get(name) or roads.get(name.split()[0])
    if road is None and any(known.startswith(name.split()[0] + " ") for known in roads):
        return "unknown subcommand", "unknown subcommand"
    if road is None:
        return "L2", "unknown command"
    alone = REFUSED if road == "ROAD_NEVER" else "the node"
    return ROADS[road], alone


def compatibility():
    every = [(names, where, what, why) for names, where, what, why in differences() if names == ["*"]]
    of_name = {}
    for names, where, what, why in differences():
        for name in names:
            of_name.setdefault(name, []).append(WHERE[where] + what)
    roads = {name: road for name, road, _ in table_of_commands()}
    yield "# Compatibility\n"
    yield "Made from `server/commands.def`, `docs/differences.txt` and `docs/redis-commands.txt` by `docs/generate.py`.\n"
    yield "A node answers as redis-server 7.0.15 does, byte for byte, in RESP2 and RESP3, but for what is listed here. This is compared:"
    yield "random commands of every family, alone, with an L2, and with writer and reader on two nodes (`test_differential.py`);"
    yield "what applications do with clients of Debian (`tests/clients`) and of npm (`make compat`); what client libraries send when"
    yield "they connect (`test_connecting.py`).\n"
    yield "## Intended differences\n"
    yield "| commands | where | what differs | why |\n|---|---|---|---|"
    for names, where, what, why in differences():
        shown = "any" if names == ["*"] else ", ".join(names)
        yield f"| {shown} | {WHERE[where].rstrip(': ') or 'both'} | {what} | {why} |"
    yield "\n## Every command of Redis\n"
    yield "Who serves it with an L2, and alone. \"L2\": the client's own bytes are passed on; \"unknown command\" is Redis' error for it."
    yield f"The {len(every)} differences of any command are not repeated."
    for group, names in commands_of_redis():
        yield f"\n### {group}\n"
        yield "| command | with an L2 | alone | differences |\n|---|---|---|---|"
        containers = {name.split()[0] for name in names if " " in name}
        for name in names:
            if name in containers and name not in roads:
                continue
            with_l2, alone = served_by(name, roads)
            notes = of_name.get(name, []) + (of_name.get(name.split()[0], []) if " " in name else [])
            yield f"| {name} | {with_l2} | {alone} | {'; '.join(notes)} |"


def reference():
    lines = ["# Reference", "", "Made from `server/options.def`, `server/namespace_options.def`, `client/options.def`, `server/commands.def` and "
             "`tiers/base/metrics.def` by "
             "`docs/generate.py`.", ""]
    for part in all_settings(), client_options(), commands(), metrics():
        lines.extend(part)
    return "\n".join(lines) + "\n"


# Of deploy/terraced.conf: what the service has a place for (deploy/systemd/terraced.service), so that it is set ...
SET = {"snapshot-dir": "/var/lib/terrace/snapshot"}
# ... and what a setting without a default looks like.
LIKE = {"l2": "redis://127.0.0.1:6379", "unixsocket": "/run/terrace/terrace.sock", "behind-dir": "/var/lib/terrace/behind",
        "warm-dir": "/var/lib/terrace/warm", "prefix": "resp:"}


def conf_lines(path):
    source = (ROOT / path).read_text()
    for name, default, when, what in re.findall(rf'OPTION\(\w+, \w+, {FIELD}, {FIELD}, [^,]+, [^,]+, (\w+), {FIELD}\)', source):
        words = what.replace('\\"', '"') + ("" if when == "LIVE" else " (from the next start on)")
        yield from textwrap.wrap(words, 116, initial_indent="; ", subsequent_indent=";   ", break_on_hyphens=False)
        value = SET.get(name) or LIKE.get(name) or default
        yield f"{'' if name in SET else ';'}{name} = {value}".rstrip() + "\n"


def configuration():
    yield "; terraced.conf -- the settings of a node (terraced FILE), made of server/options.def by docs/generate.py."
    yield ";"
    yield ";     terraced /etc/terrace/terraced.conf --check-config     is it right?"
    yield ";     terraced /etc/terrace/terraced.conf --print-config     what it comes to"
    yield ";     systemctl reload terraced                              read it again"
    yield ";"
    yield "; Each setting is here, in a comment with its default, or with an example if it has none. Flags and TERRACE_* variables win over"
    yield "; this file. Passwords belong into /etc/terrace/secrets, which only root reads (deploy/systemd/terraced.service).\n"
    yield from conf_lines("server/options.def")
    yield "; Keys that begin alike may have settings of their own. deploy/namespaces.conf is an example with two such sections."
    yield ";[namespace response]\n"
    yield from conf_lines("server/namespace_options.def")


PAGES = {"reference": reference, "compatibility": lambda: "\n".join(compatibility()) + "\n",
         "terraced.conf": lambda: "\n".join(configuration())}
FILES = {"reference": "docs/reference.md", "compatibility": "docs/compatibility.md", "terraced.conf": "deploy/terraced.conf"}

if __name__ == "__main__":
    if "--print" in sys.argv[1:]:
        sys.stdout.write(PAGES[(sys.argv[2:] or ["reference"])[0]]())
    else:
        for name, make in PAGES.items():
            (ROOT / FILES[name]).write_text(make())
