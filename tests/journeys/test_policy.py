# SPDX-License-Identifier: BSD-3-Clause
"""Who leaves when memory is full, as clients see it."""

import threading

import pytest
import redis

from harness import until
from test_namespaces import Load, configured, namespaces, reload

own = pytest.mark.own
OURS = ("density", "s3fifo", "lru", "lfu", "ttl", "ttl-strict", "random", "noeviction", "volatile-lru", "volatile-lfu",
        "volatile-random")
OF_REDIS = {"allkeys-lru": "lru", "allkeys-lfu": "lfu", "allkeys-random": "random", "volatile-lru": "volatile-lru",
            "volatile-lfu": "volatile-lfu", "volatile-ttl": "ttl", "volatile-random": "volatile-random",
            "noeviction": "noeviction"}


def fill(client, prefix, most=20000):
    """Writes keys of 1 KiB until one is refused; how many were taken, and the error or None."""
    for n in range(most):
        try:
            client.set(f"{prefix}:{n}", b"v" * 1024)
        except redis.RedisError as error:
            return n, error
    return most, None


@own
def test_a_full_node_without_eviction_answers_oom_and_loses_nothing(stage):
    node = stage.node("--memory", "4mb", "--policy", "noeviction")
    client = node.client()
    count, error = fill(client, "k")
    assert isinstance(error, redis.ResponseError) and "OOM" in str(error), error
    assert 2000 < count < 4096
    assert client.exists(*(f"k:{n}" for n in range(count))) == count
    for write in (("SET", "more", "v" * 1024), ("APPEND", "k:1", "v" * 4096), ("MSET", "a", "v" * 1024, "b", "v" * 1024)):
        with pytest.raises(redis.ResponseError, match="OOM"):
            client.execute_command(*write)
    assert client.get("k:0") == b"v" * 1024
    assert client.delete(*(f"k:{n}" for n in range(10))) == 10
    assert client.set("more", b"v" * 1024)
    # Another policy, and there is room for everything again.
    client.config_set("maxmemory-policy", "allkeys-lru")
    assert fill(client, "m", 5000) == (5000, None)
    assert node.info()["evicted_keys"] != "0"


@own
def test_behind_an_l2_a_full_node_without_eviction_serves_all_and_keeps_what_fits(stage):
    node = stage.node("--memory", "4mb", "--policy", "noeviction", l2=stage.redis())
    client = node.client()
    assert fill(client, "k", 6000) == (6000, None), "writes go to Redis"
    for n in range(6000):
        assert client.get(f"k:{n}") == b"v" * 1024
    kept = node.l1_items()
    assert 2000 < kept < 4096
    assert node.info()["l1_evictions"] == "0"


@own
def test_policies_by_any_name_and_the_contents_stay(stage):
    node = stage.node("--policy", "density")
    client = node.client(decode_responses=True)
    assert node.info()["l1_policy"] == node.info()["maxmemory_policy"] == "density"
    client.set("k", "v")
    for name in OURS:
        client.config_set("policy", name)
        assert node.info()["l1_policy"] == name
        assert client.get("k") == "v"
        known = "freq" if name.endswith("lfu") else None if name == "s3fifo" else "idletime"
        for what in ("freq", "idletime"):
            if what == known:
                assert client.object(what, "k") < 60
            else:
                with pytest.raises(redis.ResponseError):
                    client.object(what, "k")
    for name, ours in OF_REDIS.items():
        client.config_set("maxmemory-policy", name)
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": name}
        assert node.info()["l1_policy"] == ours
        assert node.info()["maxmemory_policy"] == name
    with pytest.raises(redis.ResponseError, match="must be one of the following"):
        client.config_set("maxmemory-policy", "fifo")
    assert client.get("k") == "v"


@own
def test_policies_are_switched_under_load_each_in_its_namespace_and_nothing_is_lost(stage):
    sections = """
memory = 40mb
[namespace flooded]
prefix = f:
memory = 2mb
policy = {}
[namespace fits]
prefix = k:
memory = 8mb
policy = {}
"""
    node = configured(stage, sections.format("density", "lru"))
    client = node.client()
    names = [f"k:{i}" for i in range(2000)]
    client.mset({name: name for name in names})
    over, wrong, flood_sets = threading.Event(), [], [0]

    def flood():
        flooding = node.client()
        while not over.is_set():
            key = f"f:{flood_sets[0]}"
            try:
                flooding.set(key, key * 100, px=None if flood_sets[0] % 3 else 60000)
                got = flooding.get(key)
                if got not in (None, (key * 100).encode()):
                    wrong.append((key, got))
            except redis.ResponseError as error:
                if "OOM" not in str(error):
                    wrong.append(error)
            flood_sets[0] += 1

    thread = threading.Thread(target=flood)
    thread.start()
    load = Load(node, ["k:", "x:"])
    try:
        for turn, name in enumerate(OURS * 2):
            other = OURS[(turn * 4 + 1) % len(OURS)]
            before = flood_sets[0]
            assert "event=reloaded" in reload(node, sections.format(name, other))
            seen = namespaces(node)
            assert (seen["flooded"]["policy"], seen["fits"]["policy"]) == (name, other)
            until(lambda: flood_sets[0] > before + 300 or wrong or load.wrong, 20.0, "the flood goes on")  # pylint: disable=cell-var-from-loop
    finally:
        over.set()
        thread.join()
        load.end()
    assert not wrong and not load.wrong
    assert client.mget(names) == [name.encode() for name in names]
    seen = namespaces(node)
    assert int(seen["flooded"]["evictions"]) > 1000 and seen["fits"]["evictions"] == "0"
    assert int(seen["flooded"]["bytes"]) <= (2 << 20) + (64 << 10)
