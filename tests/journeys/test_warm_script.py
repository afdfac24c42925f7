# SPDX-License-Identifier: BSD-3-Clause
"""The queue of warm jobs without a node: what its script answers to those who say things again, late, or at the wrong time."""

import pytest

from harness import ROOT

SCRIPT = (ROOT / "tiers" / "scripts" / "warm.lua").read_text()
LEASE_MS = 10_000
JOB = {"source": "keys 1", "target": "all", "mode": "missing", "schedule": "", "bound": 0, "priority": 4, "rate": 0, "life": 0,
       "db": 0, "dry": 0, "before": 0, "n": 0}

pytestmark = pytest.mark.own


def name(node):
    return f"{node:016x} 127.0.0.1:{node}"


class Queue:
    def __init__(self, redis_server):
        self.raw = redis_server.client(db=15)
        self.raw.flushdb()

    def say(self, node, verb, *words):
        return self.raw.eval(SCRIPT, 0, 15, verb, "", name(node), *words)

    def submit(self, node, **fields):
        job = JOB | fields
        answer = self.say(node, "SUBMIT", "{}", 1 << 26, 1000, "", *(word for pair in job.items() for word in pair))
        assert answer[0] == b"OK"
        return int(answer[1])

    def field(self, job, field):
        return self.raw.hget(f"terrace:warm:job:{job}", field)

    def now_ms(self):
        seconds, us = self.raw.time()
        return seconds * 1000 + us // 1000


@pytest.fixture
def queue(redis_server):
    return Queue(redis_server)


def test_a_producer_that_says_its_last_chunk_again_does_not_begin_anew(queue):
    """Its answer was lost. The cursor behind a SCAN that has ended is that of its beginning."""
    queue.say(1, "BEAT")
    job = queue.submit(1)
    queue.say(1, "TAKE")
    last = (job, 0, "0", "run", 1, "keys", 1, 1 << 26)
    assert queue.say(1, "APPEND", *last) == [b"OK"]
    assert queue.say(1, "APPEND", *last) == [b"LOST"], "nothing is left to produce"
    assert queue.say(1, "APPEND", job, 1, "7", "run", 1, "more", 0, 1 << 26) == [b"LOST"]
    assert queue.field(job, "complete") == b"1" and queue.field(job, "produced") == b"1"
    assert queue.say(1, "TAKE")[1][11] == 0, "and it is the producer no more"


def test_no_lease_is_longer_than_ten_seconds_when_redis_clock_goes_back(queue):
    queue.say(1, "BEAT")
    queue.raw.zadd("terrace:warm:nodes", {name(2): queue.now_ms() + 3_600_000})  # it beat, died, and an hour is said again
    queue.say(1, "BEAT")
    assert queue.raw.zscore("terrace:warm:nodes", name(2)) <= queue.now_ms() + LEASE_MS


def test_a_job_whose_text_is_gone_fails(queue):
    """A Redis that is full may have thrown it away."""
    queue.say(1, "BEAT")
    job = queue.submit(1)
    queue.raw.delete(f"terrace:warm:json:{job}")
    assert queue.say(1, "SPEC", job) == [b"GONE"]
    assert (queue.field(job, "state"), queue.field(job, "error")) == (b"failed", b"its text in L2 is gone")
    assert queue.raw.zcard("terrace:warm:open") == 0 and queue.say(1, "SPEC", job) == [b"GONE"]


@pytest.mark.parametrize("how", ["LEAVE", "never", "late"])
def test_a_job_is_not_missed_any_more_when_its_node_is_back(queue, how):
    """It left and comes again (warm-rate 0, then 1000), took no part when it was asked, or stood still for as long as a lease."""
    if how != "never":
        queue.say(1, "BEAT")
    job = queue.submit(1, target="self", life=86_400)
    if how == "LEAVE":
        queue.say(1, "LEAVE")
    elif how == "late":
        queue.raw.zadd("terrace:warm:nodes", {name(1): 1})
        queue.say(2, "BEAT")
    assert queue.field(job, "missed") == b"1"
    assert queue.raw.zscore("terrace:warm:due", job) <= queue.now_ms() + 600_000, "in ten minutes it fails"
    queue.say(1, "BEAT")
    assert queue.say(1, "TAKE")[1][7] == 1, "it has its lane"
    assert queue.field(job, "missed") == b"0"
    assert queue.raw.zscore("terrace:warm:due", job) == int(queue.field(job, "deadline")), "nothing but its deadline ends it"


def test_jobs_do_not_wait_for_each_other_when_the_queue_is_full(queue):
    """All chunks that it has room for are there, and done: they make room, and a job that has nothing to do gets one more."""
    room = 1000
    queue.say(1, "BEAT")
    jobs = [queue.submit(1) for _ in range(4)]
    queue.say(1, "TAKE")

    def append(job, number):
        return queue.say(1, "APPEND", job, number, str(number), "", 1, "x" * 300, 0, room)[0]

    def done(job, number):
        return queue.say(1, "NEXT", job, number, 1, 0, 0, 0, 0, 0, 1000)[6]
    assert [append(job, 0) for job in jobs] == [b"OK"] * 4, "the fourth is beyond the room"
    assert append(jobs[0], 1) == b"WAIT", "it has one to do"
    for job in jobs:
        assert done(job, -1) == 0 and done(job, 0) == -1
    for number in range(1, 5):
        assert [append(job, number) for job in jobs] == [b"OK"] * 4
        assert [done(job, number) for job in jobs] == [-1] * 4
    assert int(queue.raw.hget("terrace:warm:meta", "bytes")) <= room + 300, "chunks that were done have gone"
    assert queue.raw.hkeys(f"terrace:warm:chunks:{jobs[0]}") == [b"4"]
