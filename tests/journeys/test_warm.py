# SPDX-License-Identifier: BSD-3-Clause
"""Warm jobs: two nodes and a Redis. What dies, and what is hostile, is in test_warm_faults.py."""

import json
import time

import pytest
import redis as redis_py

import warm
import wire
from harness import stand_still, until

pytestmark = pytest.mark.own


@pytest.fixture(scope="module")
def pair(module_stage, redis_server):
    nodes = [module_stage.node("--warm-rate", "1000000", l2=redis_server) for _ in range(2)]
    warm.joined(redis_server, 2)
    return nodes


@pytest.fixture
def cold(pair, redis_server):
    """Both nodes and Redis are empty."""
    redis_server.client().flushdb()
    for node in pair:
        node.catch_up()
    until(lambda: all(node.l1_items() == 0 for node in pair), 10, "both are empty")
    return pair


def test_keys_that_a_job_lists_are_in_both_nodes_when_it_is_done(cold, redis_server):
    warm.fill(redis_server, cold, "k", 600)
    done = warm.run(cold[0], {"keys": [f"k{i}" for i in range(600)] + ["nosuch"]})
    assert done["state"] == "done", done
    assert (done["total"], done["processed"], done["loaded"], done["absent"], done["failed"]) == (1202, 1202, 1200, 2, 0)
    assert done["bytes"] >= 1200 * 50
    assert [node["done"] for node in done["nodes"]] == [601, 601]
    assert {node["address"] for node in done["nodes"]} == {f"127.0.0.1:{node.port}" for node in cold}
    assert [node.l1_items() for node in cold] == [600, 600]
    assert done["source"] == "keys 601" and done["submitted_at_ms"] <= done["started_at_ms"] <= done["ended_at_ms"]


def test_a_client_finds_what_was_warmed_without_a_question_to_l2(cold, redis_server):
    warm.fill(redis_server, cold, "k", 10)
    warm.run(cold[0], {"keys": [f"k{i}" for i in range(10)]})
    for node in cold:
        before = node.info()
        assert all(node.client().get(f"k{i}") == b"x" * 50 for i in range(10))
        after = node.info()
        assert int(after["l1_hits"]) - int(before["l1_hits"]) == 10
        assert after["l1_misses"] == before["l1_misses"]


def test_target_self_is_the_node_that_was_asked(cold, redis_server):
    warm.fill(redis_server, cold, "k", 20)
    done = warm.run(cold[1], {"pattern": "k*"}, target="self")
    assert done["loaded"] == 20 and [node["address"] for node in done["nodes"]] == [f"127.0.0.1:{cold[1].port}"]
    assert [node.l1_items() for node in cold] == [0, 20]


def test_target_l2_touches_each_key_once_in_the_cluster_and_loads_nothing(cold, redis_server):
    warm.fill(redis_server, cold, "k", 20)
    redis_server.client().config_resetstat()
    done = warm.run(cold[0], {"keys": [f"k{i}" for i in range(20)] + ["nosuch"]}, target="l2")
    assert (done["loaded"], done["absent"], done["processed"], done["total"]) == (20, 1, 21, 21)
    assert [node.l1_items() for node in cold] == [0, 0]
    assert redis_server.calls("touch") == 21


def test_a_dry_run_counts_and_loads_nothing(cold, redis_server):
    warm.fill(redis_server, cold, "k", 20)
    done = warm.run(cold[0], {"pattern": "k*"}, target="self", dryrun=True)
    assert done["state"] == "done" and done["dryrun"] == 1 and done["loaded"] == 20
    assert [node.l1_items() for node in cold] == [0, 0]


def test_a_pattern_finds_all_that_fit_it_and_nothing_else(cold, redis_server):
    warm.fill(redis_server, cold, "w:", 2500)
    warm.fill(redis_server, cold, "v:", 2500)
    done = warm.run(cold[0], {"pattern": "w:*"})
    assert (done["state"], done["loaded"], done["absent"]) == ("done", 5000, 0)
    assert [node.l1_items() for node in cold] == [2500, 2500]


def test_a_pattern_that_fits_nothing_is_done_at_once(cold):
    done = warm.run(cold[0], {"pattern": "nosuch*"})
    assert (done["state"], done["total"], done["processed"]) == ("done", 0, 0)


def test_members_of_a_set_and_the_first_of_a_sorted_set_are_keys(cold, redis_server):
    warm.fill(redis_server, cold, "k", 900)
    client = redis_server.client()
    client.sadd("names", *[f"k{i}" for i in range(700)])
    client.zadd("top", {f"k{i}": i for i in range(900)})
    assert warm.run(cold[0], {"set": "names"}, target="self")["loaded"] == 700
    done = warm.run(cold[0], {"zset": "top", "n": 300}, target="self")  # k600 to k899
    assert (done["loaded"], done["skipped"], done["total"]) == (200, 100, 300)


def test_how_many_keys_there_are_is_known_at_once_where_it_can_be(cold, redis_server):
    warm.fill(redis_server, cold, "k", 600)
    client = redis_server.client()
    client.sadd("names", *[f"k{i}" for i in range(700)])
    client.zadd("top", {f"k{i}": i for i in range(900)})
    for source, total in [({"keys": [f"k{i}" for i in range(600)]}, 1200), ({"set": "names"}, 1400), ({"zset": "top", "n": 300}, 600),
                          ({"zset": "top", "n": 5000}, 1800), ({"pattern": "k*"}, -1)]:
        job = warm.submit(cold[0], source, rate=1, mode="force")
        seen = warm.status(cold[1], job)
        assert seen["total"] == total and seen["processed"] < 600, source
        warm.say(cold[0], "CANCEL", job)


def test_a_job_may_be_as_large_as_it_may(cold):
    """Eight MiB of JSON, which no worker's loop reads."""
    text = json.dumps({"source": {"keys": [f"{i:06}" + "y" * 70 for i in range(100_000)]}, "rate": 1})
    with cold[0].client() as client:
        job = client.execute_command("CACHE.WARM", "SUBMIT", text + " " * ((8 << 20) - len(text)))
        with pytest.raises(redis_py.ResponseError, match=r"\$: at most 8388608 bytes"):
            client.execute_command("CACHE.WARM", "SUBMIT", text + " " * ((8 << 20) + 1 - len(text)))
    assert warm.status(cold[1], job)["total"] == 200_000
    until(lambda: all(node["absent"] > 0 for node in warm.status(cold[0], job)["nodes"]), 20, "both nodes have read it")
    warm.say(cold[1], "CANCEL", job)


def test_a_source_that_is_no_set_fails_the_job_with_the_words_of_redis(cold, redis_server):
    redis_server.client().set("plain", "x")
    done = warm.run(cold[0], {"set": "plain"})
    assert done["state"] == "failed" and "WRONGTYPE" in done["error"]


def test_another_database_is_warmed_when_it_is_named(cold, redis_server):
    other = redis_server.client(db=3)
    other.flushdb()
    other.mset({f"d{i}": "x" for i in range(30)})
    done = warm.run(cold[0], {"pattern": "d*"}, db=3, target="self")
    assert (done["loaded"], done["db"]) == (30, 3)
    before = int(cold[0].info()["l1_hits"])
    assert cold[0].client(db=3).get("d7") == b"x"
    assert int(cold[0].info()["l1_hits"]) == before + 1


def test_what_stands_is_skipped_unless_it_is_forced(cold, redis_server):
    warm.fill(redis_server, cold, "k", 10)
    keys = {"keys": [f"k{i}" for i in range(10)]}
    assert warm.run(cold[0], keys, target="self")["loaded"] == 10
    assert warm.run(cold[0], keys, target="self")["skipped"] == 10
    assert warm.run(cold[0], keys, target="self", mode="stale")["skipped"] == 10
    assert warm.run(cold[0], keys, target="self", mode="force")["loaded"] == 10


def test_the_nodes_own_keys_are_no_business_of_a_job(cold):
    done = warm.run(cold[0], {"pattern": "*"}, db=15)
    assert (done["state"], done["total"]) == ("done", 0)


def test_every_node_lists_every_job_and_tells_the_same_of_it(cold, redis_server):
    warm.fill(redis_server, cold, "k", 5)
    job = warm.submit(cold[0], {"pattern": "k*"})
    warm.ended(cold[1], job)
    lists = [warm.jobs(node) for node in cold]
    assert [one["id"] for one in lists[0]] == [one["id"] for one in lists[1]]
    assert lists[0][0]["id"] == job and [one["id"] for one in lists[0]] == sorted((one["id"] for one in lists[0]), reverse=True)
    assert warm.status(cold[0], job) == warm.status(cold[1], job)


def test_resp3_gives_maps(cold):
    job = warm.submit(cold[0], {"pattern": "nosuch*"})
    warm.ended(cold[0], job)
    with cold[0].wire(proto=3) as conn:
        reply = conn.ask("CACHE.WARM", "STATUS", job)
        one = dict(reply)
        assert isinstance(reply, wire.Map) and isinstance(one[b"nodes"][0], wire.Map)
        assert one[b"id"] == job and one[b"dryrun"] is False and one[b"rate"] == wire.Double(b"0.000")
        assert dict(conn.ask("CACHE.WARM", "LIST")[0])[b"id"] == job


def test_a_rate_holds_over_all_nodes_together(cold, redis_server):
    warm.fill(redis_server, cold, "k", 100)
    job = warm.submit(cold[0], {"pattern": "k*"}, rate=100)
    done = warm.ended(cold[0], job)
    took_s = (done["ended_at_ms"] - done["started_at_ms"]) / 1000
    assert done["loaded"] == 200 and done["rate_limit"] == 100
    assert took_s > 1.5, "200 keys at 100 a second, but for a burst"


def test_pause_resume_setrate_and_cancel_change_a_job_on_every_node(cold, redis_server):
    warm.fill(redis_server, cold, "k", 400)
    job = warm.submit(cold[0], {"pattern": "k*"}, rate=20)
    until(lambda: warm.status(cold[0], job)["processed"] > 0, 10, "it goes")
    assert warm.say(cold[1], "PAUSE", job) == b"OK"
    assert warm.status(cold[0], job)["state"] == "paused"
    assert warm.say(cold[1], "SETRATE", job, 0) == b"OK"
    assert warm.status(cold[0], job)["state"] == "paused", "it does not go on by itself"
    assert warm.say(cold[0], "RESUME", job) == b"OK"
    done = warm.ended(cold[0], job)
    assert (done["state"], done["loaded"]) == ("done", 800)
    slow = warm.submit(cold[0], {"pattern": "k*"}, rate=1, mode="force")
    assert warm.say(cold[1], "CANCEL", slow) == b"OK"
    assert warm.status(cold[0], slow)["state"] == "cancelled"
    for what in ("PAUSE", "RESUME", "CANCEL"):
        with pytest.raises(redis_py.ResponseError, match="the job has ended: cancelled"):
            warm.say(cold[0], what, slow)


def test_a_paused_job_does_nothing(cold, redis_server):
    warm.fill(redis_server, cold, "k", 100)
    job = warm.submit(cold[0], {"pattern": "k*"}, rate=10, target="self")
    until(lambda: warm.status(cold[0], job)["processed"] > 0, 10, "it goes")
    warm.say(cold[0], "PAUSE", job)
    other = warm.run(cold[0], {"keys": [f"k{i}" for i in range(100)]}, target="self", rate=100)  # a second, in which it might go on
    seen = warm.status(cold[0], job)
    assert other["state"] == "done" and seen["state"] == "paused" and seen["processed"] < 60
    warm.say(cold[0], "CANCEL", job)


def test_the_urgent_job_goes_before_those_that_wait(cold, redis_server):
    """Sixteen slow ones have all the slots of the only node that takes part; of what waits the urgent one is first."""
    warm.fill(redis_server, cold, "k", 40)
    keys = {"keys": [f"k{i}" for i in range(40)]}
    slow = [warm.submit(cold[0], keys, target="self", rate=1, priority=5, mode="force") for _ in range(16)]
    until(lambda: all(warm.status(cold[0], job)["started_at_ms"] for job in slow), 20, "all slots are taken")
    order = [warm.submit(cold[0], keys, target="self", priority=priority) for priority in (1, 9, 4)]
    for job in slow:
        warm.say(cold[0], "CANCEL", job)
    ends = [warm.ended(cold[0], job)["started_at_ms"] for job in order]
    assert ends[1] <= ends[2] <= ends[0]


def test_paused_jobs_leave_their_slots_to_others(cold, redis_server):
    warm.fill(redis_server, cold, "k", 40)
    keys = {"keys": [f"k{i}" for i in range(40)]}
    slow = [warm.submit(cold[0], keys, target="self", rate=1, mode="force") for _ in range(16)]
    until(lambda: all(warm.status(cold[0], job)["started_at_ms"] for job in slow), 20, "all slots are taken")
    for job in slow:
        warm.say(cold[0], "PAUSE", job)
    assert warm.run(cold[0], keys, target="self", mode="force")["loaded"] == 40
    for job in slow:
        warm.say(cold[0], "RESUME", job)
        warm.say(cold[0], "SETRATE", job, 0)
    assert {(done["state"], done["processed"]) for done in (warm.ended(cold[0], job) for job in slow)} == {("done", 40)}
    until(lambda: cold[0].info()["warm_slots"] == "0", 10, "and all slots are free again")


def test_paused_jobs_ask_l2_for_nothing(cold, redis_server):
    warm.fill(redis_server, cold, "k", 40)
    paused = []
    for _ in range(20):
        paused.append(warm.submit(cold[0], {"pattern": "k*"}, target="self", rate=1, mode="force"))
        warm.say(cold[0], "PAUSE", paused[-1])
    until(lambda: cold[0].info()["warm_jobs_here"].endswith("paused=20"), 10, "it knows of all")
    begun = time.monotonic()
    redis_server.client().config_resetstat()
    until(lambda: time.monotonic() > begun + 1.5, 10, "a while has passed")
    asked = redis_server.calls("eval") + redis_server.calls("evalsha")
    assert asked < 60 * (time.monotonic() - begun), "two nodes' beats; each job that asked ten times a second would make 200"
    for job in paused:
        warm.say(cold[0], "CANCEL", job)


def beat_twice(raw, node):
    """Behind that it has looked at all there was before."""
    name = next(name for name in raw.zrange("terrace:warm:nodes", 0, -1) if name.decode().endswith(f":{node.port}"))
    for _ in range(2):
        before = raw.zscore("terrace:warm:nodes", name)
        until(lambda before=before: raw.zscore("terrace:warm:nodes", name) > before, 5, "it beats")


def test_a_job_that_was_paused_before_it_began_goes_on_at_every_node(cold, redis_server):
    """The first node runs the source, and stands still when the job is resumed: so the second sees that it goes on, but no chunk of
    it; and when there is one, nothing more is told."""
    warm.fill(redis_server, cold, "k", 50)
    redis_server.client().execute_command("DEBUG", "POPULATE", 20_000, "z", 5)
    with redis_server.client(db=15) as raw, cold[0].wire() as conn:
        job = int(raw.hget("terrace:warm:meta", "last") or 0) + 1
        submit = ("CACHE.WARM", "SUBMIT", json.dumps({"source": {"pattern": "k*"}, "mode": "force"}))
        assert conn.pipeline([submit, ("CACHE.WARM", "PAUSE", str(job))]) == [job, b"OK"]
        until(lambda: cold[1].info()["warm_jobs_here"].endswith("paused=1"), 10, "the second has heard of it")
        beat_twice(raw, cold[1])
        stand_still(cold[0].process)
        warm.say(cold[1], "RESUME", job)
        beat_twice(raw, cold[1])
        stand_still(cold[0].process, False)
        done = warm.ended(cold[1], job)
        assert done["state"] == "done" and len(done["nodes"]) == 2 and all(one["loaded"] >= 50 for one in done["nodes"])


def test_a_job_that_is_late_fails_at_its_deadline(cold, redis_server):
    warm.fill(redis_server, cold, "k", 50)
    done = warm.run(cold[0], {"pattern": "k*"}, rate=1, deadline=1)
    assert done["state"] == "failed" and done["error"] == "its deadline has passed"
    assert 0 < done["ended_at_ms"] - done["deadline_at_ms"]


@pytest.mark.parametrize("text, error", [
    ("{", "ERR $: JSON is expected; line 1"),
    ('{"source":{"hot":0}}', "ERR $.source.hot: a number from 1 to 1000000"),
    ('{"source":{"keys":["a",1]}}', "ERR $.source.keys[1]: a string"),
    ('{"source":{"pattern":"a"},"speed":1}', "ERR $.speed: no such name"),
    ('{"source":{"pattern":"a"},"schedule":"every 5m"}', "ERR $.schedule: only with CACHE.WARM REGISTER"),
])
def test_what_is_no_job_is_refused_with_its_path_and_nothing_is_lost(pair, text, error):
    before = len(warm.jobs(pair[0]))
    with pair[0].wire() as conn:
        reply = conn.ask("CACHE.WARM", "SUBMIT", text)
        assert isinstance(reply, wire.Error) and reply.decode().startswith(error)
        assert conn.ask("PING") == b"PONG"
    assert len(warm.jobs(pair[0])) == before


def test_what_is_no_id_or_no_job_is_told(pair):
    with pytest.raises(redis_py.ResponseError, match="no such warm job"):
        warm.say(pair[0], "STATUS", 999999)
    with pytest.raises(redis_py.ResponseError, match="no such warm job"):
        warm.say(pair[0], "CANCEL", 999999)
    with pytest.raises(redis_py.ResponseError, match="id is not an integer"):
        warm.say(pair[0], "STATUS", "x")
    with pytest.raises(redis_py.ResponseError, match="rate is not an integer"):
        warm.say(pair[0], "SETRATE", 1, "-1")


def test_a_node_alone_says_that_there_is_nothing_to_warm_from(node_alone):
    with pytest.raises(redis_py.ResponseError, match="this node has none"):
        warm.submit(node_alone, {"pattern": "a"})
