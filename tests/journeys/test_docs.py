# SPDX-License-Identifier: BSD-3-Clause
"""What is written says what the code does."""
import re
import subprocess

from harness import ROOT


def test_the_reference_page_is_made_from_the_tables():
    made = subprocess.run(["/usr/bin/python3", ROOT / "docs" / "generate.py", "--print"], capture_output=True, text=True,
                          check=True).stdout
    assert made == (ROOT / "docs" / "reference.md").read_text(), "run docs/generate.py"
    for must in "| `listen` |", "| `near-memory` |", "| GET | L1, filled from L2 |", "| CLIENT LIST | the node |", "`terrace_beats_total`":
        assert must in made, must


def test_the_page_of_compatibility_is_made_from_the_tables(redis_server):
    made = subprocess.run(["/usr/bin/python3", ROOT / "docs" / "generate.py", "--print", "compatibility"], capture_output=True,
                          text=True, check=True).stdout
    assert made == (ROOT / "docs" / "compatibility.md").read_text(), "run docs/generate.py"
    with redis_server.wire() as conn:
        every = {name.decode().replace("|", " ").upper() for name in conn.ask("COMMAND", "LIST")}
    rows = set(re.findall(r"^\| ([A-Z][A-Z0-9 _-]*) \|", made, re.M))
    containers = {name.split()[0] for name in every if " " in name}
    assert every - rows <= containers, every - rows - containers
    named = {name.strip() for line in (ROOT / "docs" / "differences.txt").read_text().splitlines() if line[:1] not in ("", "#")
             for name in line.split(" | ")[0].split(",")}
    assert named - every <= {"*", "CLIENT SETINFO"}, named - every


def test_the_example_configuration_is_made_from_the_tables():
    made = subprocess.run(["/usr/bin/python3", ROOT / "docs" / "generate.py", "--print", "terraced.conf"], capture_output=True,
                          text=True, check=True).stdout
    assert made == (ROOT / "deploy" / "terraced.conf").read_text(), "run docs/generate.py"


def test_functions_named_in_the_readme_exist():
    readme = (ROOT / "README.md").read_text()
    journeys = readme[readme.index("## How a request goes"):readme.index("## The house")]
    sources = "".join(path.read_text() for folder in ("server", "tiers", "protocol", "client") for path in (ROOT / folder).rglob("*.c"))
    names = {name for name in re.findall(r"`([a-z][a-z0-9_]+)`", journeys) if "_" in name}
    missing = sorted(name for name in names if f"{name}(" not in sources)
    assert len(names) > 30 and not missing, missing


def test_the_changelog_says_each_thing_once():
    """Lines of a list begin differently: a merge that keeps both sides of a conflict leaves two versions of one."""
    begins = [line[:40] for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("- ")]
    assert len(begins) > 50
    assert [begin for begin in dict.fromkeys(begins) if begins.count(begin) > 1] == []
