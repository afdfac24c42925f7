# SPDX-License-Identifier: BSD-3-Clause
"""libterrace with the n-th allocation refused, for every n (tests/clients/terrace_memory.c)."""

import pathlib
import re
import subprocess

import pytest
from harness import TERRACED

pytestmark = pytest.mark.own

PROGRAM = pathlib.Path(TERRACED).resolve().parent / "tests" / "clients" / "terrace_memory"


@pytest.mark.parametrize("near", ["near-memory=0", "near-memory=1mb"], ids=["without_l0", "with_l0"])
def test_whatever_allocation_is_refused_each_call_says_so_and_the_client_lives_on(stage, near):
    path = stage.folder / "managed.conf"
    path.write_text("[namespace m]\nprefix = m:\nformat = managed\n")
    node = stage.node(str(path), l2=stage.redis())
    options = f"endpoints=127.0.0.1:{node.port}&timeout=2s&connect-timeout=1s&breaker-open=5ms&breaker-most=10ms&{near}"
    done = subprocess.run([PROGRAM, options], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(re.search(r"(\d+) allocations refused", done.stdout)[1]) > 50
