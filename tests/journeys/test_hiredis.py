# SPDX-License-Identifier: BSD-3-Clause
"""A C program that uses hiredis (hiredis_client.c), alone and with L2."""
import subprocess

from harness import ROOT

CLIENT = ROOT / "build" / "release" / "tests" / "journeys" / "hiredis_client"


def test_a_program_with_hiredis_is_served(node):
    done = subprocess.run([CLIENT, str(node.port)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
