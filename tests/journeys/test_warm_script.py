# SPDX-License-Identifier: BSD-3-Clause
"""The queue of warm jobs without a node: what its script answers to those who say things again, late, or at the wrong time."""

import collections

import pytest

from harness import ROOT

SCRIPT = "".join((ROOT / "tiers" / "scripts" / name).read_text() for name in ("warm.lua", "warm_verbs.lua"))
LEASE_MS = 10_000
JOB = {"source": "keys 1", "target": "all", "mode": "missing", "schedule": "", "bound": 0, "priority": 4, "rate": 0, "life": 0,
       "db": 0, "dry": 0, "before": 0, "n": 0}

pytestmark = pytest.mark.own


def name(node):
    return f"{node:016x} 127.0.0.1:{node}"


Part = collections.namedtuple("Part", "id state priority submitted deadline rate lanes has_lane next produced produces cursor run")


class Queue:
    def __init__(self, redis_server):
        self.raw = redis_server.client(db=15)
        self.raw.flushdb()

    def say(self, node, verb, *words):
        return self.raw.eval(SCRIPT, 0, 15, verb, "", name(node), *words)

    def submit(self, node, due="", **fields):
        """`due`: of a standing job."""
        job = JOB | fields
        answer = self.say(node, "SUBMIT", "{}", 1 << 26, 1000, due, *(word for pair in job.items() for word in pair))
        assert answer[0] == b"OK"
        return int(answer[1])

    def take(self, node, since=0, floor=0):
        """What the node has to do with each job, page by page; None: nothing."""
        parts = {}
        while True:
            _, since, floor, more, _, *jobs = self.say(node, "TAKE", since, floor)
            parts |= {int(job[0]): Part(*job) if len(job) > 1 else None for job in jobs}
            if not more:
                return parts

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
    queue.take(1)
    last = (job, 0, "0", "run", 1, "keys", 1, 1 << 26, "")
    assert queue.say(1, "APPEND", *last) == [b"OK"]
    assert queue.say(1, "APPEND", *last) == [b"LOST"], "nothing is left to produce"
    assert queue.say(1, "APPEND", job, 1, "7", "run", 1, "more", 0, 1 << 26, "") == [b"LOST"]
    assert queue.field(job, "complete") == b"1" and queue.field(job, "produced") == b"1"
    assert queue.take(1)[job].produces == 0, "and it is the producer no more"


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
    assert queue.take(1)[job].has_lane == 1, "it has its lane"
    assert queue.field(job, "missed") == b"0"
    assert queue.raw.zscore("terrace:warm:due", job) == int(queue.field(job, "deadline")), "nothing but its deadline ends it"


def test_jobs_do_not_wait_for_each_other_when_the_queue_is_full(queue):
    """All chunks that it has room for are there, and done: they make room, and a job that has nothing to do gets one more."""
    room = 1000
    queue.say(1, "BEAT")
    jobs = [queue.submit(1) for _ in range(4)]
    queue.take(1)

    def append(job, number):
        return queue.say(1, "APPEND", job, number, str(number), "", 1, "x" * 300, 0, room, "")[0]

    def done(job, number):
        return queue.say(1, "NEXT", job, number, 1, 0, 0, 0, 0, 0, 1000)[4]
    assert [append(job, 0) for job in jobs] == [b"OK"] * 4, "the fourth is beyond the room"
    assert append(jobs[0], 1) == b"WAIT", "it has one to do"
    for job in jobs:
        assert done(job, -1) == 0 and done(job, 0) == -1
    for number in range(1, 5):
        assert [append(job, number) for job in jobs] == [b"OK"] * 4
        assert [done(job, number) for job in jobs] == [-1] * 4
    assert int(queue.raw.hget("terrace:warm:meta", "bytes")) <= room + 300, "chunks that were done have gone"
    assert sorted(queue.raw.hkeys(f"terrace:warm:chunks:{jobs[0]}")) == [b"4", b"n4"]


PAGE = 32


def fill(queue, nodes, jobs):
    """So many nodes take part in so many jobs."""
    for node in range(1, nodes + 1):
        queue.say(node, "BEAT")
    return [queue.submit(1) for _ in range(jobs)]


def commands_of(queue, *call):
    """How many commands Redis runs for it."""
    queue.raw.config_resetstat()
    queue.say(*call)
    return sum(stat["calls"] for name, stat in queue.raw.info("commandstats").items() if name != "cmdstat_config|resetstat")


def test_no_call_costs_more_the_more_jobs_are_open(queue):
    """All of Redis waits for a call."""
    costs = {}
    for count in (2 * PAGE, 10 * PAGE):
        queue.raw.flushdb()
        jobs = fill(queue, 3, count)
        for _ in range(count):
            queue.submit(1, due=5)
        version = int(queue.raw.hget("terrace:warm:meta", "version"))
        costs[count] = {" ".join(map(str, call[1:2])): commands_of(queue, *call) for call in [
            (2, "TAKE", 0, 0), (1, "TAKE", version, 0), (1, "SHOW", "", 0), (1, "BEAT"), (1, "STANDING", 0),
            (2, "NEXT", jobs[0], -1, 0, 0, 0, 0, 0, 0, 1000), (1, "CHANGE", jobs[0], "PAUSE", 0), (3, "LEAVE"), (2, "BEAT")]}
    assert costs[2 * PAGE] == costs[10 * PAGE], costs
    assert max(costs[10 * PAGE].values()) <= 20 * PAGE


def test_a_node_is_told_of_what_changed_and_of_nothing_else(queue):
    jobs = fill(queue, 2, 3 * PAGE)
    assert sorted(queue.take(2)) == jobs
    version = int(queue.raw.hget("terrace:warm:meta", "version"))
    assert queue.take(2, version) == {}
    queue.say(1, "CHANGE", jobs[5], "PAUSE", 0)
    queue.say(1, "CHANGE", jobs[7], "CANCEL", 0)
    changed = queue.take(2, version)
    assert sorted(changed) == [jobs[5], jobs[7]] and changed[jobs[5]].state == b"paused" and changed[jobs[7]] is None


def test_a_node_that_was_away_while_many_ended_is_told_all_again(queue):
    """Those that ended are forgotten, so nobody could tell that they are no more."""
    jobs = fill(queue, 2, 250)
    queue.take(2)
    version = int(queue.raw.hget("terrace:warm:meta", "version"))
    for job in jobs[:120]:
        queue.say(1, "CHANGE", job, "CANCEL", 0)
    assert queue.say(2, "TAKE", version, 0)[4] == 1, "from the beginning"
    told = queue.take(2, version)
    assert [job for job in told if told[job]] == jobs[120:], "twenty that ended are not there, the rest are told as ended"
    assert all(not queue.raw.exists(f"terrace:warm:job:{job}") for job in jobs[:20])


@pytest.mark.parametrize("comes_back", [False, True])
def test_what_a_dead_node_had_is_taken_from_it_page_by_page(queue, comes_back):
    jobs = fill(queue, 2, 3 * PAGE + 1)
    queue.raw.zadd("terrace:warm:nodes", {name(2): 1})
    left = queue.say(1, "BEAT")[6]
    assert left == 1 and sum(queue.raw.hexists(f"terrace:warm:lanes:{job}", name(2)) for job in jobs) == len(jobs) - PAGE
    if comes_back:
        queue.say(2, "BEAT")
        assert queue.raw.hlen("terrace:warm:dead") == 0, "nobody goes on with it"
        version = int(queue.raw.hget("terrace:warm:meta", "version"))
        assert all(part.has_lane for part in queue.take(2).values())
        assert sum(queue.raw.hexists(f"terrace:warm:lanes:{job}", name(2)) for job in jobs) == len(jobs), f"at version {version}"
    else:
        while left:
            left = queue.say(1, "BEAT")[6]
        assert all(queue.raw.hlen(f"terrace:warm:lanes:{job}") == 1 for job in jobs)


def test_a_list_of_many_jobs_comes_in_pages_and_names_each_once(queue):
    jobs = fill(queue, 1, 2 * PAGE + 3)
    queue.say(1, "CHANGE", jobs[4], "CANCEL", 0)
    shown, below = [], 0
    while True:
        _, _, below, *rows = queue.say(1, "SHOW", "", below)
        shown += [int(row[0]) for row in rows[::3]]
        if not below:
            break
    assert shown == sorted(jobs, reverse=True)


def test_standing_jobs_come_in_pages_and_are_due_when_they_were(queue):
    jobs = [queue.submit(1, due=1000 + number, schedule="every 5m") for number in range(2 * PAGE + 1)]
    queue.say(1, "CHANGE", jobs[1], "PAUSE", 0)
    assert queue.say(1, "FIRE", jobs[0], 999, 5000, 1 << 26, 1000) == [b"LATE"]
    assert queue.say(1, "FIRE", jobs[0], 1000, 5000, 1 << 26, 1000)[0] == b"OK"
    told, after = [], 0
    while True:
        _, after, *rows = queue.say(1, "STANDING", after)
        told += [(row[0], row[1]) for row in rows]
        if not after:
            break
    assert told == [(b"%d" % job, {0: 5000, 1: -1001}.get(number, 1000 + number)) for number, job in enumerate(jobs)]
    queue.say(1, "CHANGE", jobs[1], "PAUSE", 0)
    queue.say(1, "CHANGE", jobs[1], "RESUME", 0)
    assert queue.field(jobs[1], "due") == b"1001" and queue.field(jobs[1], "state") == b"standing"


def test_a_queue_whose_index_a_stranger_spoilt_is_mended(queue):
    jobs = fill(queue, 1, 3)
    for name_of in ("jobs", "changed", "dead"):
        queue.raw.delete(f"terrace:warm:{name_of}")
        queue.raw.set(f"terrace:warm:{name_of}", "mine")
    assert queue.say(1, "MEND") == [b"OK", 3]
    assert sorted(queue.take(1)) == jobs and len(queue.say(1, "SHOW", "", 0)) == 3 + 3 * len(jobs)


def test_members_are_counted_when_it_is_submitted(queue):
    queue.raw.sadd("names", "a", "b", "c")
    queue.raw.zadd("top", {"a": 1, "b": 2, "c": 3})
    queue.raw.set("plain", "x")
    queue.say(1, "BEAT")
    for expected, fields in [(b"3", {"counts": "SCARD", "counted": "names"}), (b"2", {"counts": "ZCARD", "counted": "top", "n": 2}),
                             (b"3", {"counts": "ZCARD", "counted": "top", "n": 9}), (b"0", {"counts": "SCARD", "counted": "none"}),
                             (b"", {"counts": "SCARD", "counted": "plain"}), (b"", {"counts": "FLUSHALL", "counted": "names"}),
                             (b"7", {"expected": 7}), (b"", {})]:
        assert queue.field(queue.submit(1, db=15, **fields), "expected") == expected, fields
    assert queue.raw.client_info()["db"] == 15 and queue.raw.exists("names")


def test_a_job_of_a_database_that_l2_does_not_have_is_not_left_half_submitted(queue):
    """Its source says what is wrong, and it ends by that."""
    queue.say(1, "BEAT")
    job = queue.submit(1, db=16, counts="SCARD", counted="names")
    assert queue.field(job, "expected") == b"" and queue.take(1)[job].has_lane == 1
    assert queue.say(1, "FAIL", job, "L2 says: ERR DB index is out of range") == [b"OK"]
    assert queue.raw.zcard("terrace:warm:open") == 0


def test_a_node_that_can_do_nothing_holds_up_nobody_and_what_it_leaves_out_is_counted(queue):
    for node in (1, 2):
        queue.say(node, "BEAT")
    job = queue.submit(1)

    def append(number, keys):
        return queue.say(1, "APPEND", job, number, str(number), "", keys, "x" * 30, 0, 1 << 26, "")[0]

    def tell(node, verb, number, loaded, *failures):
        return queue.say(node, verb, job, number, loaded, 0, 0, 0, 0, 0, 1000, *failures)
    for number in range(64):
        assert append(number, 10) == b"OK"
    tell(1, "NEXT", -1, 0), tell(2, "NEXT", -1, 0)
    assert tell(2, "PASS", 0, 4) == [b"WAIT"], "the other one has enough to do"
    for number in range(64):
        tell(1, "NEXT", number, 10)
    assert append(64, 10) == b"WAIT"
    assert tell(2, "PASS", 0, 4, "0\0why\0key") == [b"OK", 636], "4 of 640 were done"
    assert tell(2, "PASS", 0, 4, "0\0why\0key") == [b"OK", 0], "and said again it is nothing new"
    assert append(64, 10) == b"OK"
    numbers = [int(number) for number in queue.raw.hget(f"terrace:warm:lanes:{job}", name(2)).split()]
    assert numbers[:7] == [64, 0, 4, 0, 0, 636, 0] and queue.raw.llen(f"terrace:warm:failed:{job}") == 1
    assert tell(2, "NEXT", -1, 0)[4] == 64, "it goes on with what comes now"


def test_failures_are_kept_as_far_as_they_are_small_and_count_as_room(queue):
    queue.say(1, "BEAT")
    job = queue.submit(1)
    before = int(queue.raw.hget("terrace:warm:meta", "bytes"))
    for number in range(4):
        queue.say(1, "APPEND", job, number, str(number), "", 1, "x", 0, 1 << 26, "")
        queue.say(1, "NEXT", job, number, 0, 0, 0, 1, 0, 0, 1000, "y" * 30_000, "z" * 6)
    kept = [len(text) for text in queue.raw.lrange(f"terrace:warm:failed:{job}", 0, -1)]
    assert sum(kept) <= 65536 and kept == [30_000, 6, 30_000, 6, 6, 6]
    assert int(queue.raw.hget("terrace:warm:meta", "bytes")) == before + sum(kept) + 4
    queue.say(1, "CHANGE", job, "CANCEL", 0)
    assert int(queue.raw.hget("terrace:warm:meta", "bytes")) == 0
