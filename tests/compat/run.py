#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the flows of clients from npm against redis-server, a node, and two nodes: what `make compat` does.

    tests/compat/run.py BUILD_DIR [FILE ...]     all *.test.js, or these

npm installs what package-lock.json names into BUILD_DIR/compat; the files are copied there, since Node looks for modules
beside the file that asks.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "clients"), str(HERE.parent / "journeys")]

from harness import Stage  # noqa: E402  (needs the path above)
from target import Target  # noqa: E402

KINDS = ["redis", "node", "pair"]


def install(folder):
    """Nothing is asked of the registry if the lock file has not changed."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in HERE.iterdir():
        if path.suffix in (".js", ".json"):
            shutil.copy(path, folder / path.name)
    marker, lock = folder / "installed", (HERE / "package-lock.json").read_text()
    if not marker.exists() or marker.read_text() != lock:
        # Not `npm ci`: it wants the optional packages of all platforms, which a mirror may not have.
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], cwd=folder, check=True)
        marker.write_text(lock)


def run_kind(kind, folder, names, stage):
    l2 = stage.redis()
    if kind == "redis":
        target = Target(kind, stage, l2, l2, l2)
    else:
        node = stage.node(l2=l2)
        target = Target(kind, stage, node, node if kind == "node" else stage.node(l2=l2), l2)
    failed = 0
    for name in names:
        target.empty()
        code, printed = target.try_run("node", "--test", "--test-reporter=spec", folder / name, deadline_s=60)
        print(f"{'ok  ' if code == 0 else 'FAIL'} {kind}: {name}", flush=True)
        if code != 0:
            failed += 1
            print(printed)
    if failed:
        print(stage.logs())
    return failed


def main():
    folder, names = pathlib.Path(sys.argv[1]).resolve() / "compat", sys.argv[2:]
    install(folder)
    names = names or sorted(path.name for path in HERE.glob("*.test.js"))
    failed = 0
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as scratch, Stage(scratch) as stage:
            failed += run_kind(kind, folder, names, stage)
    print(f"{len(KINDS) * len(names) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
