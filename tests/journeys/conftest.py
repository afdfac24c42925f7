# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the journeys. What they start lives as long as a module, except `stage`, which is one test's own."""

import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "fault")]

import harness  # noqa: E402  (needs the path above)


def pytest_configure(config):
    config.addinivalue_line("markers", "own: tests something that only a node has; skipped in rehearsal")
    harness.raise_file_limit()


def pytest_collection_modifyitems(items):
    if harness.REHEARSAL:
        for item in items:
            if item.get_closest_marker("own"):
                item.add_marker(pytest.mark.skip(reason="rehearsal: redis-server has no such thing"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the seed, and the logs of the nodes it had."""
    del call
    report = (yield).get_result()
    if report.failed:
        report.sections.append(("seed", f"TEST_SEED={harness.SEED}"))
        stages = {id(stage): stage for stage in (getattr(arg, "stage", arg) for arg in item.funcargs.values())
                  if isinstance(stage, harness.Stage)}
        for stage in stages.values():
            report.sections.append(("logs of nodes", stage.logs()))


@pytest.fixture
def stage(tmp_path):
    """Starts what one test needs and ends it with the test."""
    with harness.Stage(tmp_path) as stage_of_test:
        yield stage_of_test


@pytest.fixture(scope="module")
def module_stage(tmp_path_factory):
    with harness.Stage(tmp_path_factory.mktemp("stage")) as stage_of_module:
        yield stage_of_module


@pytest.fixture(scope="module")
def redis_server(module_stage):
    return module_stage.redis()


@pytest.fixture(scope="module")
def node_alone(module_stage):
    return module_stage.node()


@pytest.fixture(scope="module")
def node_with_l2(module_stage, redis_server):
    return module_stage.node(l2=redis_server)


@pytest.fixture(scope="module")
def two_nodes(module_stage, redis_server):
    return module_stage.node(l2=redis_server), module_stage.node(l2=redis_server)


@pytest.fixture(scope="module", params=["alone", "with L2"])
def node(request):
    """The same test on a node alone and on one with an L2."""
    return request.getfixturevalue("node_alone" if request.param == "alone" else "node_with_l2")


@pytest.fixture
def client(node):
    """redis-py on an empty node."""
    node.client().flushall()
    return node.client(decode_responses=True)


@pytest.fixture
def pair(two_nodes):
    """A connection to each of two nodes that know each other; each serves hits."""
    with two_nodes[0].wire() as a, two_nodes[1].wire() as b:
        for node in two_nodes:
            harness.until(lambda node=node: int(node.info()["coherence_nodes"]) >= 2, 5, "both nodes are heard")
        a.ask("SET", "warm up", "x")
        for node, conn in ((two_nodes[0], a), (two_nodes[1], b)):
            harness.until(lambda node=node, conn=conn: harness.serves_hits(node, conn, "warm up"), 5, "the node serves from L1")
        yield a, b
