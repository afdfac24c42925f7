# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the flows of real clients: what they run against.

A flow is what an application does. Each runs against three targets: redis-server itself, which proves the flow; a node
with an L2; and two nodes of one L2, the writer's on one and the reader's on the other. Flows that need nothing of L2 run
against a node alone, too.
"""

import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "journeys")]

import harness  # noqa: E402  (needs the path above)
from target import Target  # noqa: E402


def pytest_configure():
    harness.raise_file_limit()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the logs of the nodes it had."""
    del call
    report = (yield).get_result()
    target = item.funcargs.get("target") or item.funcargs.get("any_target")
    if report.failed and target is not None:
        report.sections.append(("logs of nodes", target.stage.logs()))


@pytest.fixture(scope="session")
def session_stage(tmp_path_factory):
    with harness.Stage(tmp_path_factory.mktemp("clients")) as stage:
        yield stage


@pytest.fixture(scope="session")
def servers(session_stage):
    """Every server by its part, started when first asked for."""
    class Servers(dict):
        def __missing__(self, part):
            if part in ("redis", "l2"):
                self[part] = session_stage.redis()
            elif part == "alone":
                self[part] = session_stage.node()
            else:
                self[part] = session_stage.node(l2=self["l2"])
            return self[part]
    return Servers()


def make_target(servers, stage, kind):
    parts = {"redis": ("redis", "redis", "redis"), "node": ("node", "node", "l2"), "pair": ("node", "other node", "l2"),
             "alone": ("alone", "alone", "alone")}[kind]
    target = Target(kind, stage, *(servers[part] for part in parts))
    target.empty()
    return target


@pytest.fixture(params=["redis", "node", "pair"])
def target(request, servers, session_stage):
    return make_target(servers, session_stage, request.param)


@pytest.fixture(params=["redis", "node", "pair", "alone"])
def any_target(request, servers, session_stage):
    return make_target(servers, session_stage, request.param)
