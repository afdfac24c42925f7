# SPDX-License-Identifier: BSD-3-Clause
"""Warm jobs when nodes die, Redis loses its data, and somebody else writes the queue's keys.

A lease lasts ten seconds. Where a test has killed who holds it, it lets it run out by writing so into terrace:warm:nodes."""

import collections
import json
import re
import signal

import pytest
import redis as redis_py

import warm
from harness import stand_still, until

pytestmark = pytest.mark.own


def let_the_dead_go(redis_server, *dead):
    with redis_server.client(db=15) as client:
        for member in client.zrange("terrace:warm:nodes", 0, -1):
            if any(member.decode().endswith(f":{node.port}") for node in dead):
                client.zadd("terrace:warm:nodes", {member: 1})


def nodes_of(stage, redis_server, count, *flags):
    nodes = [stage.node("--warm-rate", "1000000", *flags, l2=redis_server) for _ in range(count)]
    warm.joined(redis_server, count)
    return nodes


class Listener:
    """Which keys Redis was asked for, as MONITOR shows it."""

    def __init__(self, redis_server):
        self.conn = redis_server.wire(timeout_s=20)
        self.conn.ask("MONITOR")
        self.server = redis_server

    def gets(self):
        """Per key; of all that was asked before this call."""
        mark = "mark-of-the-listener"
        self.server.client().echo(mark)
        counts = collections.Counter()
        while True:
            line = self.conn.read().decode("latin-1")
            if mark in line:
                return counts
            seen = re.search(r'\] "GET(?:RANGE)?" "(k[^"]*)"', line)
            if seen:
                counts[seen.group(1)] += 1


def test_a_node_is_killed_and_the_job_ends_with_every_key_loaded_by_all_others(stage):
    redis_server = stage.redis()
    nodes = nodes_of(stage, redis_server, 3)
    warm.fill(redis_server, nodes, "k", 600)
    listener = Listener(redis_server)
    job = warm.submit(nodes[1], {"pattern": "k*"}, rate=150)
    until(lambda: all(one["done"] > 0 for one in warm.status(nodes[1], job)["nodes"]), 20, "all three have begun")
    nodes[2].process.kill()
    assert warm.status(nodes[1], job)["state"] == "running"
    warm.say(nodes[1], "SETRATE", job, 0)
    let_the_dead_go(redis_server, nodes[2])
    done = warm.ended(nodes[0], job)
    assert done["state"] == "done" and len(done["nodes"]) == 2
    assert [one["loaded"] for one in done["nodes"]] == [600, 600]
    assert [node.l1_items() for node in nodes[:2]] == [600, 600]
    gets = listener.gets()
    assert len(gets) == 600 and set(gets.values()) <= {2, 3}, "once by each, at most"


def test_the_node_that_runs_the_source_is_killed_and_another_goes_on(stage):
    redis_server = stage.redis()
    nodes = nodes_of(stage, redis_server, 2)
    warm.fill(redis_server, nodes, "k", 600)
    job = warm.submit(nodes[0], {"pattern": "k*"}, rate=20)
    with redis_server.client(db=15) as client:
        until(lambda: int(client.hget(f"terrace:warm:job:{job}", "produced") or 0) > 0, 10, "it has begun")
        assert client.hget(f"terrace:warm:job:{job}", "complete") == b"0", "nor can it be through: 120 chunks, of which 64 may wait"
    nodes[0].process.kill()
    warm.say(nodes[1], "SETRATE", job, 0)
    let_the_dead_go(redis_server, nodes[0])
    done = warm.ended(nodes[1], job)
    assert done["state"] == "done" and nodes[1].l1_items() == 600
    assert [one["address"] for one in done["nodes"]] == [f"127.0.0.1:{nodes[1].port}"]


def test_all_nodes_are_killed_and_those_that_come_after_them_do_the_job(stage):
    redis_server = stage.redis()
    nodes = nodes_of(stage, redis_server, 2)
    warm.fill(redis_server, nodes, "k", 500)
    jobs = [warm.submit(nodes[0], {"pattern": "k*"}, rate=100),
            warm.submit(nodes[0], {"keys": [f"k{i}" for i in range(500)]}, rate=100, target="l2")]
    until(lambda: all(warm.status(nodes[0], job)["processed"] > 0 for job in jobs), 20, "both are running")
    for node in nodes:
        node.process.kill()
    let_the_dead_go(redis_server, *nodes)
    later = nodes_of(stage, redis_server, 2)
    for job in jobs:
        warm.say(later[0], "SETRATE", job, 0)
    done = [warm.ended(later[1], job) for job in jobs]
    assert [one["state"] for one in done] == ["done", "done"]
    assert [node.l1_items() for node in later] == [500, 500]
    assert done[1]["loaded"] >= 500, "touched, or touched again"


def test_a_node_that_ends_in_order_gives_its_part_back_at_once(stage):
    redis_server = stage.redis()
    nodes = nodes_of(stage, redis_server, 2)
    warm.fill(redis_server, nodes, "k", 300)
    job = warm.submit(nodes[0], {"keys": [f"k{i}" for i in range(300)]}, rate=30, target="l2")
    until(lambda: warm.status(nodes[0], job)["processed"] > 0, 20, "it runs")
    nodes[0].process.end()
    warm.say(nodes[1], "SETRATE", job, 0)
    done = warm.ended(nodes[1], job, deadline_s=8)  # below the ten seconds of a lease
    assert done["state"] == "done" and done["nodes"][0]["address"] == f"127.0.0.1:{nodes[1].port}"
    assert 300 <= done["loaded"] <= 330, "what was under way is done again"


def test_a_job_for_one_node_waits_for_it_and_goes_on_when_its_address_is_back(stage):
    redis_server = stage.redis()
    nodes = nodes_of(stage, redis_server, 2)
    warm.fill(redis_server, nodes, "k", 200)
    job = warm.submit(nodes[0], {"pattern": "k*"}, rate=20, target="self")
    until(lambda: warm.status(nodes[0], job)["processed"] > 0, 20, "it runs")
    nodes[0].process.kill()
    let_the_dead_go(redis_server, nodes[0])
    with redis_server.client(db=15) as client:
        until(lambda: client.hget(f"terrace:warm:job:{job}", "missed") == b"1", 10, "it is missed")
        nodes[0].start()
        warm.say(nodes[0], "SETRATE", job, 0)
        done = warm.ended(nodes[1], job)
        assert done["state"] == "done" and nodes[0].l1_items() == 200 and nodes[1].l1_items() == 0


def test_a_job_whose_only_node_does_not_come_back_fails(stage):
    redis_server = stage.redis()
    nodes = nodes_of(stage, redis_server, 2)
    warm.fill(redis_server, nodes, "k", 50)
    job = warm.submit(nodes[0], {"pattern": "k*"}, rate=1, target="self")
    nodes[0].process.kill()
    let_the_dead_go(redis_server, nodes[0])
    with redis_server.client(db=15) as client:
        until(lambda: client.zscore("terrace:warm:due", job), 10, "it is missed")
        client.zadd("terrace:warm:due", {job: 1})  # ten minutes later
    done = warm.ended(nodes[1], job)
    assert done["state"] == "failed" and f"127.0.0.1:{nodes[0].port}" in done["error"]


@pytest.mark.parametrize("how", ["flush", "restart"])
def test_redis_loses_the_queue_and_that_is_told(stage, how):
    redis_server = stage.redis()
    node = nodes_of(stage, redis_server, 1)[0]
    warm.fill(redis_server, [node], "k", 100)
    job = warm.submit(node, {"pattern": "k*"}, rate=5)
    until(lambda: warm.status(node, job)["processed"] > 0, 20, "it runs")
    if how == "flush":
        redis_server.client().flushall()
    else:
        redis_server.process.kill()
        redis_server.start()
        until(lambda: node.coherence_state() == "SYNCED", 20, "the node has found Redis again")

    def is_gone():
        try:
            return warm.status(node, job) and False
        except redis_py.ResponseError as error:
            return "no such warm job" in str(error)
    until(is_gone, 10, "the job is gone")
    assert "warm_queue_lost" in node.process.log() or until(lambda: "warm_queue_lost" in node.process.log(), 10, "it is logged")
    warm.fill(redis_server, [node], "k", 40)

    def works():
        try:
            return warm.run(node, {"keys": [f"k{i}" for i in range(40)]}, mode="force")
        except redis_py.ResponseError:
            return None
    assert until(works, 10, "the next job")["loaded"] == 40


def test_redis_stands_still_for_a_while_and_the_job_goes_on(stage):
    redis_server = stage.redis()
    node = nodes_of(stage, redis_server, 1, "--l2-timeout", "300ms")[0]
    warm.fill(redis_server, [node], "k", 300)
    job = warm.submit(node, {"pattern": "k*"}, rate=100)
    until(lambda: warm.status(node, job)["processed"] > 0, 20, "it runs")
    stand_still(redis_server.process)
    with node.client() as client:
        with pytest.raises(redis_py.ResponseError, match="^(L2DOWN|UNKNOWN) |L2 cannot be asked|L2 did not answer"):
            client.execute_command("CACHE.WARM", "STATUS", job)
        with pytest.raises(redis_py.ResponseError, match="UNKNOWN|L2DOWN"):
            client.execute_command("CACHE.WARM", "SUBMIT", '{"source":{"keys":["a"]}}')
    stand_still(redis_server.process, False)

    def has_ended():
        try:
            return warm.status(node, job)["state"] in warm.ENDED
        except redis_py.ResponseError:
            return False
    until(has_ended, 30, "it ends")
    done = warm.status(node, job)
    assert done["state"] == "done" and done["loaded"] + done["skipped"] == 300 and done["failed"] == 0


def test_redis_forgets_the_script_and_is_told_it_again(stage):
    redis_server = stage.redis()
    node = nodes_of(stage, redis_server, 1)[0]
    warm.fill(redis_server, [node], "k", 300)
    job = warm.submit(node, {"pattern": "k*"}, rate=100)
    for _ in range(5):
        assert redis_server.client().script_flush()
        warm.jobs(node)
    assert redis_server.calls("evalsha") > 0
    done = warm.ended(node, job)
    assert (done["state"], done["loaded"]) == ("done", 300)


KEYS = ["meta", "nodes", "open", "due", "ended", "standing", "jobs", "changed", "dead", "job:{}", "json:{}", "lanes:{}", "chunks:{}", "failed:{}"]


def test_a_stranger_gives_the_queues_keys_other_types_and_the_nodes_live(stage):
    redis_server = stage.redis()
    nodes = nodes_of(stage, redis_server, 2)
    warm.fill(redis_server, nodes, "k", 20)
    raw = redis_server.client(db=15)
    for name in KEYS:
        job = warm.submit(nodes[0], {"pattern": "k*"}, rate=20, mode="force")
        until(lambda job=job: warm.status(nodes[0], job)["state"] == "running", 20, "it runs")
        key = f"terrace:warm:{name.format(job)}"
        pipe = raw.pipeline(transaction=True)  # in between a node would make it anew
        pipe.delete(key)
        if name.startswith("failed"):
            pipe.set(key, "mine")
        else:
            pipe.rpush(key, "mine")
        pipe.execute()
        errors = []

        def works():
            try:
                warm.jobs(nodes[0])
                return warm.run(nodes[1], {"keys": ["k1"]}, target="self", mode="force", deadline=10)["state"] == "done"
            except redis_py.ResponseError as error:
                errors.append(str(error))
                return False
        until(works, 20, f"the queue works again after {key}: {errors[-3:]}")
        assert all(re.match("terrace:warm:.* is not what nodes wrote|L2 has just lost|BUSY|no such warm job|L2 says|"
                            "L2 answers what is not understood", error)
                   for error in errors), errors
        for one in warm.jobs(nodes[0]):
            if one["state"] not in warm.ENDED:
                try:
                    warm.say(nodes[0], "CANCEL", one["id"])
                except redis_py.ResponseError:
                    pass
    assert all(node.process.alive() for node in nodes)


def test_junk_in_a_job_or_its_chunks_fails_the_job(stage):
    redis_server = stage.redis()
    nodes = nodes_of(stage, redis_server, 2)
    warm.fill(redis_server, nodes, "k", 600)
    raw = redis_server.client(db=15)
    job = warm.submit(nodes[0], {"keys": [f"k{i}" for i in range(600)]}, rate=4, target="self")
    until(lambda: raw.hexists(f"terrace:warm:chunks:{job}", 50), 10, "there are chunks")
    for chunk in range(40, 50):  # ten seconds ahead of it
        raw.hset(f"terrace:warm:chunks:{job}", chunk, b"\xff\xff\xff\xff junk")
    warm.say(nodes[0], "SETRATE", job, 0)
    assert warm.ended(nodes[1], job)["error"] == "a chunk in L2 is not what a node put there"
    stand_still(nodes[1].process)
    job = warm.submit(nodes[0], {"keys": ["k1"]}, rate=1)  # of both nodes; the second learns of it later
    raw.set(f"terrace:warm:json:{job}", '{"source":{"what":1}}')
    stand_still(nodes[1].process, False)
    until(lambda: warm.status(nodes[0], job)["state"] == "failed", 10, "it fails")
    assert "a node cannot read the job: $.source.what: no such name" in warm.status(nodes[0], job)["error"]


@pytest.mark.parametrize("number", [-1 << 63, (1 << 63) - 1])
def test_numbers_beyond_any_in_a_job_are_no_harm(stage, number):
    """The node meets them when it takes the job: what it computes from them must not overflow, which the sanitizers see to."""
    redis_server = stage.redis()
    node = stage.node("--warm-rate", "0", l2=redis_server)
    warm.fill(redis_server, [node], "k", 20)
    job = warm.submit(node, {"pattern": "k*"})
    with redis_server.client(db=15) as raw:
        raw.hset(f"terrace:warm:job:{job}", mapping=dict.fromkeys(["priority", "submitted", "deadline", "rate"], number))
    seen = warm.status(node, job)
    assert seen["priority"] == seen["effective"] == (0 if number < 0 else 9) and seen["submitted_at_ms"] == 0
    node.client().config_set("warm-rate", "1000000")
    assert warm.ended(node, job)["state"] == "done" and node.l1_items() >= 20


def test_a_queue_that_is_full_says_why_and_has_room_again(stage):
    redis_server = stage.redis()
    node = nodes_of(stage, redis_server, 1)[0]
    job = json.dumps({"source": {"keys": ["a", "b", "c"]}, "rate": 1})
    with node.wire() as conn:
        for _ in range(20):
            conn.ask("CACHE.WARM", "SUBMIT", job)
        with redis_server.client(db=15) as raw:  # as if 1,000 were there
            raw.zadd("terrace:warm:open", {f"9{i:06}": 1 for i in range(1000)})
            refused = conn.ask("CACHE.WARM", "SUBMIT", job)
            assert refused == b"BUSY 1000 warm jobs have not ended"
            raw.zremrangebyscore("terrace:warm:open", 1, 1)
            assert isinstance(conn.ask("CACHE.WARM", "SUBMIT", job), int)
            raw.hset("terrace:warm:meta", "bytes", 65 << 20)  # and what the jobs above add to it, or take away
            assert re.fullmatch(rb"BUSY warm jobs take 681\d{5} bytes of L2, and have 67108864", conn.ask("CACHE.WARM", "SUBMIT", job))


def test_ended_jobs_are_kept_up_to_a_hundred(stage):
    redis_server = stage.redis()
    node = nodes_of(stage, redis_server, 1)[0]
    for _ in range(105):
        job = warm.submit(node, {"keys": ["a"]}, target="self")
    warm.ended(node, job)
    until(lambda: len(warm.jobs(node)) == 100, 10, "the oldest are forgotten")
    with redis_server.client(db=15) as raw:
        assert len(raw.keys("terrace:warm:job:*")) == 100 and not raw.keys("terrace:warm:chunks:*") + raw.keys("terrace:warm:json:*")
        assert raw.hget("terrace:warm:meta", "bytes") == b"0"
        assert all(raw.pttl(key) > 0 for key in raw.keys("terrace:warm:job:*"))
