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


FOLDERS = ("bench", "client", "deploy", "docs", "protocol", "server", "tests", "tiers")


def paths(*suffixes):
    """Of all files of the tree, from its root."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")] + list(ROOT.glob("*"))
    return [path.relative_to(ROOT) for path in found if path.suffix in suffixes and "node_modules" not in path.parts]


def pages():
    """All that is written for readers but records of measurements: (path from the root, text)."""
    return [(path, (ROOT / path).read_text()) for path in paths(".md") if path.parts[:2] != ("bench", "results")]


def test_functions_named_in_the_readme_exist():
    readme = (ROOT / "README.md").read_text()
    journeys = readme[readme.index("## How a request goes"):readme.index("## The house")]
    sources = "".join((ROOT / path).read_text() for path in paths(".c", ".h") if path.parts[0] in ("server", "tiers", "protocol", "client"))
    defined = set(re.findall(r"^(?:[a-z][\w *]*[ *])?([a-z]\w+)\(", sources, re.M))  # a call is indented
    names = {name for name in re.findall(r"`([a-z][a-z0-9_]+)`", journeys) if "_" in name}
    missing = sorted(names - defined)
    assert len(names) > 30 and not missing, missing


def test_what_pages_call_by_its_name_exists():
    """Words with an underscore are names of the code, words that end as files do are files; of X and NAME there is none."""
    suffixes = (".c", ".h", ".def", ".lua", ".py", ".proto", ".pml", ".cast")
    sources = "".join((ROOT / path).read_text() for path in paths(*suffixes, ".txt", ".in"))
    files = [f"/{path}" for path in paths(*suffixes, ".md", ".conf", ".service", ".json", ".yml", ".txt")]
    words = set(re.findall(r"\w+", sources)) | {path.stem for path in paths(*suffixes)}
    missing, count = [], 0
    for page, text in pages():
        for word in re.findall(r"`([a-z][a-z0-9_./-]+)(?:\(\))?`", re.sub(r"```.*?```", "", text, flags=re.S)):
            if "/." in word or word.startswith("/"):
                continue
            is_file = re.fullmatch(r"[a-z0-9_/-]+\.(c|h|def|lua|py|proto|pml)", word)
            is_name = re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)+", word)
            count += bool(is_file or is_name)
            if is_file and not any(file.endswith(f"/{word}") for file in files):
                missing.append(f"{page}: no file {word}")
            if is_name and word not in words and word not in sources:
                missing.append(f"{page}: no {word}")
    assert count > 1000 and not missing, missing


def test_files_named_in_comments_exist():
    elsewhere = {"miniobj.h", "sysexits.h", "xxhash.h"}  # Varnish's, the system's, a library's
    files = [f"/{path}" for path in paths(".c", ".h", ".def", ".lua", ".py", ".proto", ".pml", ".md", ".txt")]
    missing, count = [], 0
    for path in paths(".c", ".h"):
        for comment in re.findall(r"/\*.*?\*/", (ROOT / path).read_text(), re.S):
            for name in re.findall(r"(?<![\w.*{-])([a-z][a-z0-9_/]+\.(?:c|h|def|lua|py|pml|md))\b(?!\()", comment):
                count += 1
                if name not in elsewhere and not any(file.endswith(f"/{name}") for file in files):
                    missing.append(f"{path}: {name}")
    assert count > 1000 and not missing, missing


def anchor(title):
    """As the renderers of README pages make it of a title."""
    return re.sub(r"[^\w -]", "", title.strip().lower()).replace(" ", "-")


def test_links_of_pages_lead_somewhere():
    missing, count = [], 0
    for page, text in pages():
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            target, _, section = link.partition("#")
            if "://" in link or not re.fullmatch(r"[\w./-]*", target):
                continue
            count += 1
            path = (ROOT / page).parent / target if target else ROOT / page
            if not path.exists():
                missing.append(f"{page}: {link}")
            elif section and section not in {anchor(title) for title in re.findall(r"^#+ (.*)$", path.read_text(), re.M)}:
                missing.append(f"{page}: {link}: no such section")
    assert count > 100 and not missing, missing


def test_the_changelog_says_each_thing_once():
    """Lines of a list begin differently: a merge that keeps both sides of a conflict leaves two versions of one."""
    begins = [line[:40] for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("- ")]
    assert len(begins) > 50
    assert [begin for begin in dict.fromkeys(begins) if begins.count(begin) > 1] == []
