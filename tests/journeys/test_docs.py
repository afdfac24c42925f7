# SPDX-License-Identifier: BSD-3-Clause
"""What is written says what the code does."""
import re
import subprocess

from harness import ROOT


def test_the_reference_page_is_made_from_the_tables():
    made = subprocess.run(["/usr/bin/python3", ROOT / "docs" / "generate.py", "--print"], capture_output=True, text=True,
                          check=True).stdout
    assert made == (ROOT / "docs" / "reference.md").read_text(), "run docs/generate.py"
    for must in "| `listen` |", "| GET | L1, filled from L2 |", "| CLIENT LIST | the node |", "`terrace_beats_total`":
        assert must in made, must


def test_functions_named_in_the_readme_exist():
    readme = (ROOT / "README.md").read_text()
    journeys = readme[readme.index("## How a request goes"):readme.index("## The house")]
    sources = "".join(path.read_text() for folder in ("server", "tiers", "protocol") for path in (ROOT / folder).rglob("*.c"))
    names = {name for name in re.findall(r"`([a-z][a-z0-9_]+)`", journeys) if "_" in name}
    missing = sorted(name for name in names if f"{name}(" not in sources)
    assert len(names) > 30 and not missing, missing
