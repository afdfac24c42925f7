# SPDX-License-Identifier: BSD-3-Clause
"""Clients of other languages: each is a program of flows that asserts by itself (target.run)."""

import pytest

from harness import ROOT
from target import HERE

PROGRAMS = {
    "php": (["php", HERE / "flows.php"], 10),
    "laravel": (["php", HERE / "laravel_flows.php"], 6),
    "ruby": (["ruby", HERE / "flows.rb"], 7),
    "perl": (["perl", HERE / "flows.pl"], 7),
    "hiredis": ([ROOT / "build" / "release" / "tests" / "clients" / "hiredis_flows"], 6),
}


@pytest.mark.parametrize("client", PROGRAMS)
def test_a_program(target, client):
    argv, count = PROGRAMS[client]
    flows = target.run(*argv)
    assert len(flows) == count, flows
