# SPDX-License-Identifier: BSD-3-Clause
"""A warm job and a node that lives and does nothing: it is waited for as long as for one that is dead, which is a lease (10 s)."""

import pytest

import warm
from harness import until
from proxy import FaultProxy

pytestmark = pytest.mark.own
KEYS = 2000


def test_a_node_that_can_keep_nothing_holds_up_nobody(stage):
    """It hears no announcements, so nothing that it would read could be kept; but it beats, and has its part in the job."""
    redis_server = stage.redis()
    with FaultProxy(("127.0.0.1", redis_server.port)) as proxy:
        hears = stage.node("--warm-rate", "1000000", l2=redis_server)
        deaf = stage.node("--warm-rate", "1000000", "--l2-timeout", "500ms", l2=proxy.url)
        warm.joined(redis_server, 2)
        redis_server.client().mset({f"k{i}": "x" for i in range(KEYS)})
        until(lambda: deaf.coherence_state() == "SYNCED", 20, "it hears all")
        proxy.black_hole("down", who="bus")
        until(lambda: deaf.coherence_state() == "DETACHED", 20, "it has given the bus up; until then it keeps what it reads")
        done = warm.ended(hears, warm.submit(hears, {"pattern": "k*"}), deadline_s=60)
        parts = {one["address"]: one for one in done["nodes"]}
        assert done["state"] == "done" and parts[f"127.0.0.1:{hears.port}"]["loaded"] == KEYS
        part = parts[f"127.0.0.1:{deaf.port}"]
        assert part["failed"] > 0 and part["done"] == KEYS, "what it left out is counted"
        assert "could keep nothing" in done["failures"][0]["why"], "and told"
        until(lambda: "event=warm_passed" in deaf.process.log(), 10, "and logged")
