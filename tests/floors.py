#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""floors -- includes point sideways or down only, every header compiles alone (docs: README.md, "Floors"), and the tests by
which docs/semantics.md and docs/warming.md prove their promises exist.

    tests/floors.py               checks the tree this file lies in; exit 1 names each violation
    tests/floors.py --self-test   plants violations in a small tree of its own and demands that each is found

The self-test runs before every check too: a checker that finds nothing must be known to be able to.
"""

import concurrent.futures
import fnmatch
import os
import pathlib
import re
import subprocess
import sys
import tempfile

# Folder -> folders its files may include from. The first folder that a path begins with decides.
FLOORS = {
    "protocol/": ["protocol/"],
    "tiers/base/": ["tiers/base/", "protocol/"],
    "tiers/": ["tiers/", "protocol/"],
    "server/": ["server/", "tiers/", "protocol/"],
    "client/": ["client/", "protocol/"],
    "bench/core/": ["bench/", "tiers/", "protocol/"],
    "bench/": ["bench/", "protocol/"],
}
# What one file may include beyond its folder: files -> headers.
DOORS = [
    ("bench/core/client_terrace.c", ["client/terrace.h"]),  # as an application does
    ("bench/core/near.c", ["client/terrace.h"]),
    ("bench/core/scale.c", ["client/terrace.h"]),
    ("client/near.c", ["tiers/l1.h", "tiers/policy.h"]),  # L0 is L1's code in the memory of an application
]
# Sideways that is forbidden: files -> headers they must not see, and why.
STRANGERS = [
    ("tiers/l1*", "tiers/l2*", "L1 does not know L2"),
    ("tiers/policy*", "tiers/item.h", "policies do not know items"),
    ("tiers/policy*", "tiers/l1*", "policies do not know L1"),
    ("client/terrace.h", "*", "the public header includes nothing of ours"),
]
# Libraries: header -> the only files that may include it.
LIBRARIES = [
    ("uv.h", ["server/*", "bench/*", "client/*"]),
    ("hiredis/*", ["tiers/link.[ch]", "tiers/beat.[ch]", "tiers/replay.[ch]", "tiers/ban_script.[ch]", "tiers/coherence.[ch]", "tiers/bus*.[ch]",
                   "bench/core/client_hiredis.c", "bench/core/near.c"]),
    ("openssl/*", ["server/*", "client/*"]),
    ("microhttpd.h", ["server/*"]),
    ("ini.h", ["server/*"]),
    ("protobuf-c/*", ["protocol/envelope.c", "protocol/native_memory.[ch]", "protocol/native_warm.c"]),
    ("lz4*.h", ["protocol/codec.c"]),
    ("pthread.h", ["server/*", "tiers/*", "bench/*", "client/*"]),
    ("sys/socket.h", ["server/*", "bench/*", "client/*"]),
]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def sources(root):
    for floor in sorted({name.split("/")[0] for name in FLOORS}):
        for path in sorted((root / floor).rglob("*")):
            if path.suffix in (".c", ".h", ".def"):
                yield path.relative_to(root).as_posix()


def matches(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def floor_of(name):
    return next((floor for floor in FLOORS if name.startswith(floor)), None)


def include_problems(root):
    """One line for each include that points where it may not."""
    problems = []
    for name in sources(root):
        for mark, target in INCLUDE.findall((root / name).read_text(encoding="utf-8")):
            problem = own_problem(name, target) if mark == '"' else library_problem(name, target)
            if problem:
                problems.append(f'{name}: includes {target}: {problem}')
    return problems


def own_problem(name, target):
    if "/" not in target or target.startswith("."):
        return "write the path from the root"
    floor = floor_of(name)
    if any(matches(name, [files]) and matches(target, headers) for files, headers in DOORS):
        return None
    if not any(target.startswith(below) for below in FLOORS[floor]):
        return f"{floor} may include only {' '.join(FLOORS[floor])}"
    for files, headers, why in STRANGERS:
        if matches(name, [files]) and matches(target, [headers]):
            return why
    return None


def library_problem(name, target):
    for header, files in LIBRARIES:
        if matches(target, [header]) and not matches(name, files):
            return f"only {' '.join(files)} may"
    return None


def header_problem(root, name, flags):
    """The compiler's first words if the header does not compile alone."""
    unit = f'#include "{name}"\n#include "{name}"\n'
    done = subprocess.run(["gcc", "-std=gnu11", "-D_GNU_SOURCE", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                           "-I", str(root), "-x", "c", "-", *flags], input=unit, capture_output=True, text=True,
                          check=False)
    if done.returncode == 0:
        return None
    first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
    return f"{name}: does not compile alone: {first.strip()}"


def header_problems(root):
    headers = [name for name in sources(root) if name.endswith(".h")]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [problem for problem in pool.map(lambda name: header_problem(root, name, []), headers) if problem]


def cells_of(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


PROVEN_PAGES = ["docs/semantics.md", "docs/warming.md"]


def proof_problems(root, page=PROVEN_PAGES[0]):
    """Rows of tables with a column "proved by": each promise has a proof, and each name in it is that of a test. A name without
    its file is of one that the table has named."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in (root / "tests").rglob("*")
             if path.suffix in (".py", ".c", ".pml") and "corpus" not in path.parts}
    problems, proved, files = [], None, []
    for number, line in enumerate((root / page).read_text(encoding="utf-8").splitlines(), 1):
        cells = cells_of(line) if line.startswith("|") else []
        if "proved by" in cells or not cells:
            proved, files = cells.index("proved by") if cells else None, []
            continue
        if proved is None or proved >= len(cells) or set("".join(cells)) <= set("-: "):
            continue
        if cells[0] and not cells[proved]:
            problems.append(f"{page}:{number}: a promise without a proof")
        for name in re.findall(r"`([^`]*)`", cells[proved]):
            problem = proof_problem(name, texts, files)
            problems += [f"{page}:{number}: {name}: {problem}"] if problem else []
    return problems


def proof_problem(name, texts, files):
    file, _, test = name.rpartition("::") if "::" in name or "." not in name else (name, "", "")
    if name.startswith("sim --"):
        return None if all(f'"{word}"' in texts["main.c"] for word in name.split()[1:]) else "the simulator has no such option"
    if name.startswith("fuzz_"):
        return None if f"{name}.c" in texts else "no such fuzzer"
    if file and file not in texts:
        return "no such file"
    if file:
        files.append(file)
    defined = re.compile(rf"\b{re.escape(test)}\s*\(")
    if test and not any(defined.search(texts[name]) for name in ([file] if file else files)):
        return f"no such test in {file or ' or '.join(files) or 'any file named so far'}"
    return None


# --- the test of the test ---

CLEAN = {
    "protocol/bytes.h": "#ifndef A\n#define A\n#include <stddef.h>\nstruct slice { size_t size; };\n#endif\n",
    "tiers/base/clock.h": '#include "protocol/bytes.h"\n',
    "tiers/l1.h": '#include "tiers/base/clock.h"\n',
    "tiers/l2.h": '#include "protocol/bytes.h"\n',
    "tiers/link.c": '#include <hiredis/hiredis.h>\n',
    "server/worker.h": '#include "tiers/l1.h"\n',
    "bench/load.c": '#include "protocol/bytes.h"\n#include <uv.h>\n',
    "client/pool.c": '#include "client/terrace.h"\n#include "protocol/bytes.h"\n',
    "client/terrace.h": "#include <stddef.h>\n",
    "client/near.c": '#include "tiers/l1.h"\n',
}
PLANTED = [
    ("protocol/a.c", '#include "tiers/l1.h"\n'),
    ("protocol/a.c", '  #  include  "server/worker.h"\n'),
    ("protocol/deep/a.c", '#include "tiers/base/clock.h"\n'),
    ("tiers/base/a.c", '#include "tiers/l1.h"\n'),
    ("tiers/a.c", '#include "server/worker.h"\n'),
    ("tiers/a.c", '#include <uv.h>\n'),
    ("tiers/l1.c", '#include "tiers/l2.h"\n'),
    ("tiers/policy_x.c", '#include "tiers/item.h"\n'),
    ("server/a.c", '#include "bench/load.h"\n'),
    ("server/a.c", '#include "client/terrace.h"\n'),
    ("server/a.c", '#include <hiredis/hiredis.h>\n'),
    ("server/a.c", '#include "worker.h"\n'),
    ("server/a.c", '#include "../tiers/l1.h"\n'),
    ("tiers/a.h", '#include "tests/unit/x.h"\n'),
    ("bench/a.c", '#include "tiers/l1.h"\n'),
    ("bench/core/a.c", '#include "server/worker.h"\n'),
    ("client/a.c", '#include "server/worker.h"\n'),
    ("client/terrace.h", '#include "protocol/bytes.h"\n'),
    ("client/near.h", '#include "tiers/l1.h"\n'),
    ("client/near.c", '#include "tiers/l2.h"\n'),
    ("client/conn.c", '#include "tiers/l1.h"\n'),
    ("protocol/a.def", '#include "server/a.def"\n'),
]


PROVEN = {
    "tests/unit/test_a.c": "static void it_stands(void **state)\n{\n}\n",
    "tests/journeys/test_b.py": "def test_it_goes(node):\n    pass\n",
    "tests/fuzz/fuzz_c.c": "",
    "tests/model/d.pml": "",
    "docs/semantics.md": "| mode | |\n|---|---|\n| `x` | |\n\n| promise | proved by | not promised |\n|---|---|---|\n"
                         "| one | `test_a.c::it_stands`, `d.pml`, `fuzz_c` | `nothing` |\n| | | two |\n"
                         "| three | `test_b.py`, `it_stands`, `::test_it_goes` | |\n",
}
UNPROVEN = ["| four | | |", "| four | `test_a.c::it_falls` | |", "| four | `test_c.py` | |", "| four | `it_goes_not` | |",
            "| four | `fuzz_x` | |", "| four | `test_a.c::test_it_goes` | |", "| four | `e.pml` | |"]


def plant(root, files):
    for name, text in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def self_test():
    failures = []
    for name, text in PLANTED:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            plant(root, CLEAN.items())
            if include_problems(root):
                failures.append(f"a clean tree is called dirty: {include_problems(root)}")
            plant(root, [(name, text)])
            found = include_problems(root)
            if len(found) != 1 or not found[0].startswith(name + ":"):
                failures.append(f"planted {text.strip()} in {name}, found {found}")
    for row in [""] + UNPROVEN:
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            plant(root, PROVEN.items())
            plant(root, [("docs/semantics.md", PROVEN["docs/semantics.md"] + row + "\n")])
            found = proof_problems(root)
            if len(found) != bool(row):
                failures.append(f"planted {row} in a page, found {found}")
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        plant(root, [("protocol/good.h", CLEAN["protocol/bytes.h"]), ("protocol/bad.h", "size_t size_of(void);\n")])
        found = header_problems(root)
        if len(found) != 1 or not found[0].startswith("protocol/bad.h:"):
            failures.append(f"a header that does not compile alone was not found: {found}")
    return failures


def main(argv):
    failures = self_test()
    if failures:
        print("floors: the self-test fails:", *failures, sep="\n  ")
        return 2
    if argv[1:] == ["--self-test"]:
        print(f"floors: self-test: {len(PLANTED) + len(UNPROVEN) + 1} planted violations found")
        return 0
    root = pathlib.Path(__file__).resolve().parents[1]
    problems = include_problems(root) + header_problems(root) + [problem for page in PROVEN_PAGES for problem in proof_problems(root, page)]
    print(*problems, sep="\n", end="\n" if problems else "")
    print(f"floors: {sum(1 for _ in sources(root))} files, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
