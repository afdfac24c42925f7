# SPDX-License-Identifier: BSD-3-Clause
"""R3 and R5 for `strict`: while L2 comes and goes without losing what it acknowledged, each key is a linearizable
register. (What Redis itself loses is nobody's register any more: a failover by sentinels after the master's death is R5.)
"""

import contextlib
import signal

import wire
from harness import until
from history_run import finish_load, judge, start_load, wait_begun
from rig import SCALE, amount
from test_endpoints import address, endpoint, replica_of

DURABLE = ["--appendonly", "yes", "--appendfsync", "always"]
LONG_S = 1_000_000  # ended by SIGINT


@contextlib.contextmanager
def judged_load(run, nodes):
    """The load that the block's trouble happens to."""
    path = run.stage.folder / "strict.hist"
    load = start_load(run.stage, path, nodes, None, LONG_S, "--quiet", "--keys", 40, "--zipf", 0.9, "--connections", 4,
                      "--pipeline", 1, "--writes", 100, "--timeout", 10, "--bound-ms", 200, "--seed", run.seed % (1 << 24))
    wait_begun(path)
    yield
    load.signal(signal.SIGINT)
    counts, verdict = finish_load(load), judge(path, flags=["--strict"])
    assert verdict.code in (0, 1), verdict.error
    found = verdict.found
    run.count(reads=found["reads"], writes=found["writes"], violations=found["violations"],
              refused=counts["reads_refused"] + counts["writes_refused"], unknown=counts["writes_unknown"])
    assert verdict.code == 0, f"{verdict.rules}\n{verdict.story()}"
    assert found["reads"] > 1000 and found["writes"] > 50 and not counts["strange"], counts
    path.unlink()


T_S = 0.2


def strict_nodes(run, *l2):
    """One for each way to L2."""
    config = run.stage.folder / "strict.conf"
    config.write_text(f"mode = strict {T_S * 1000:.0f}ms\n")
    return [run.node(way, str(config)) for way in l2]


def serve(nodes):
    """All nodes confirm again, and the load goes on."""
    for node in nodes:
        with node.wire() as conn:
            until(lambda conn=conn: conn.ask("SET", "probe", "v") == b"OK", 20, "strict writes are acknowledged")
        served = int(node.info("stats")["total_commands_processed"])
        until(lambda node=node, served=served: int(node.info("stats")["total_commands_processed"]) > served + 1000, 30,
              "reads and writes of the load", every_s=0.05)


def kill_with_writes_under_way(run, redis_server, ways, node, number):
    """They run, and nobody hears of them: not who wrote, by an answer, nor the nodes, by an announcement. One node hears of
    the new Redis up to T before the other."""
    with node.wire() as conn:
        for way in ways:
            way.black_hole("down")
        conn.send(wire.encode(["SET", "probe", str(number)]))
        until(lambda: redis_server.client().get("probe") == str(number).encode(), 20, "a write has run")
        redis_server.process.kill()
        assert redis_server.start()
        for way in run.rng.sample(ways, len(ways)):
            way.heal()
            run.lasts(run.rng.random() * T_S)
        conn.read()


def test_r3_strict_and_a_redis_that_is_killed(run):
    """kill -9 of a Redis that has written what it acknowledged; it comes back with all of it."""
    redis_server = run.stage.redis(*DURABLE)
    ways = [run.proxy_to(redis_server) for _ in range(2)]
    nodes = strict_nodes(run, *[way.url for way in ways])
    with judged_load(run, nodes):
        for turn in range(amount(2, 100)):
            if turn % 2 == 0:
                kill_with_writes_under_way(run, redis_server, ways, nodes[turn // 2 % 2], turn)
            else:
                redis_server.process.kill()
                assert redis_server.start()
            serve(nodes)
    assert run.counts["unknown"] > 0 or float(SCALE or 0) < 1, "no write was under way"


def test_r5_strict_and_a_mastership_that_moves(run):
    """FAILOVER of Redis: the old master takes no writes until the new one has them all."""
    master, replica = run.stage.redis(*DURABLE), run.stage.redis(*DURABLE)
    replica_of(replica, master)
    nodes = strict_nodes(run, *[f"{master.url},{replica.url}"] * 2)
    with judged_load(run, nodes):
        for _ in range(amount(2, 50)):
            master.client().execute_command("FAILOVER", "TO", "127.0.0.1", replica.port)
            master, replica = replica, master
            for node in nodes:
                until(lambda node=node: endpoint(node) == address(master), 20, "the nodes follow")
            serve(nodes)
