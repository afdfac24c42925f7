# SPDX-License-Identifier: BSD-3-Clause
"""R11: a write of unknown outcome never runs after its client was told so (COHERENCE T7)."""

import wire
from harness import until
from rig import amount, synced

AT_ONCE = 20  # writes that share the frozen link


def test_r11_frozen_writes_released_late(run):
    """Frozen after they were sent, UNKNOWN, a newer write acknowledged by another node; then the old bytes arrive."""
    redis_server = run.stage.redis()
    proxy = run.proxy_to(redis_server)
    node, other = run.node(proxy.url, "--threads", "1", "--l2-timeout", "100ms"), run.node(redis_server)
    ran_late = []
    with other.wire() as second, redis_server.wire() as direct:
        for turn in range(amount(5, 10_000 // AT_ONCE)):
            keys = [f"frozen:{turn}:{i}" for i in range(AT_ONCE)]
            direct.pipeline([["SET", key, "first"] for key in keys])
            with node.wire() as conn:
                proxy.hold("up", keys[0].encode())
                conn.send(b"".join(wire.encode(["SET", key, "late"]) for key in keys))
                replies = [conn.read() for _ in keys]
                assert all(isinstance(reply, wire.Error) for reply in replies), replies
                warned = [b"may still run" in reply for reply in replies]  # on a busy machine nothing confirms it in time
                run.count(unknown=sum(reply.startswith(b"UNKNOWN") for reply in replies), warned=sum(warned))
                assert second.pipeline([["SET", key, "newer"] for key in keys]) == [b"OK"] * len(keys)
                assert proxy.holds("up"), "the old bytes are still on their way"
                proxy.release("up")
                until(lambda keys=keys, conn=conn: conn.ask("GET", keys[0]) in (b"newer", b"late"), 30, "reads again")
            synced(node)
            until(lambda: not proxy.holds("up"), 5)
            asked = direct.pipeline([["PING"]] + [["GET", key] for key in keys])[1:]
            late = [key for key, value in zip(keys, asked) if value != b"newer"]
            ran_late += [key for key, may_run in zip(keys, warned) if key in late and not may_run]
            run.count(writes=len(keys), late_as_warned=len(set(late) - set(ran_late)))
    run.count(ran_late=len(ran_late))
    assert not ran_late, f"{len(ran_late)} writes ran after their clients were told UNKNOWN: {ran_late[:3]}"
    assert run.counts["unknown"] > run.counts["warned"]
