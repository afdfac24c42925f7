# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the long runs, and the table they end with (rig.py says how they are started)."""

import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "journeys"), str(HERE.parent / "fault")]

import harness  # noqa: E402  (needs the path above)
import rig  # noqa: E402


def pytest_configure(config):
    harness.raise_file_limit()
    config.soak_runs = []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A run that fails says so in the table, and shows the logs of its nodes."""
    report = (yield).get_result()
    run = item.funcargs.get("run")
    if run is None or call.when == "teardown":
        return
    if report.failed:
        run.failed(call.excinfo)
        report.sections.append(("seed", str(run.seed)))
        report.sections.append(("logs of nodes", run.stage.logs()))
    elif report.skipped:
        run.skipped(call.excinfo)
    elif call.when == "call":
        run.passed()


def pytest_terminal_summary(terminalreporter, config):
    if config.soak_runs:
        terminalreporter.write_line("")
        for line in rig.table(config.soak_runs):
            terminalreporter.write_line(line)
        rig.write_report(config.soak_runs)


@pytest.fixture
def run(request, tmp_path):
    """One run, its servers and what it found; ends everything with the test."""
    with harness.Stage(tmp_path) as stage:
        a_run = rig.Run(stage, request.node.name)
        request.config.soak_runs.append(a_run)
        yield a_run
        a_run.close()
