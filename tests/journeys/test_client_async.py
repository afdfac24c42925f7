# SPDX-License-Identifier: BSD-3-Clause
"""The asynchronous face of libterrace, by a program with a uv_loop of its own (tests/clients/terrace_async.c)."""

import pathlib
import subprocess

import pytest
from harness import TERRACED

pytestmark = pytest.mark.own

PROGRAM = pathlib.Path(TERRACED).resolve().parent / "tests" / "clients" / "terrace_async"


@pytest.mark.parametrize("more", ["", "&connections=3"], ids=["one_connection", "three_connections"])
def test_the_program_on_its_own_loop(stage, more):
    path = stage.folder / "all.conf"
    path.write_text("[namespace load]\nprefix = load\nformat = managed\n[namespace fails]\nprefix = fails\nformat = managed\n")
    node = stage.node(str(path), l2=stage.redis())
    done = subprocess.run([PROGRAM, f"endpoints=127.0.0.1:{node.port}&timeout=20s{more}"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 12 and all(line.startswith("ok ") for line in lines), done.stdout
