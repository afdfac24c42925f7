# SPDX-License-Identifier: BSD-3-Clause
"""Warm jobs and hot keys through libterrace."""
import random
import socketserver
import threading

import native
import pytest
from harness import SEED, until
from libterrace import WARM_STATES, Client, functions

pytestmark = pytest.mark.own


@pytest.fixture(scope="module")
def nodes(module_stage):
    l2 = module_stage.redis()
    both = [module_stage.node(l2=l2) for _ in range(2)]
    with l2.client() as client:
        client.mset({f"w:{i}": "value" for i in range(300)})
    until(lambda: all(int(node.info()["coherence_nodes"]) == 2 for node in both), 10, "they hear each other")
    both[0].l2 = l2
    return both


@pytest.fixture
def client(nodes):
    with Client("endpoints=" + ",".join(f"127.0.0.1:{node.port}" for node in nodes), "timeout=10s") as one:
        yield one


def job_of(client, number):
    status, jobs, error = client.warm_status(number)
    assert (status, error, len(jobs)) == ("OK", "", 1)
    return jobs[0]


def done(client, number):
    """Its last status."""
    seen = {}

    def has_ended():
        seen.update(job_of(client, number))
        return seen["state"] == "done"
    until(has_ended, 20, f"it is done: {seen}", every_s=0.02)
    return seen


def submit(client, *words, **named):
    status, number, error = client.warm_submit(*words, **named)
    assert (status, error) == ("OK", "") and number > 0
    return number


def test_a_job_is_submitted_and_waited_for_on_any_node(client):
    number = submit(client, "pattern", "w:*", priority=9, mode=2)
    job = done(client, number)
    assert (job["id"], job["source"], job["mode"], job["target"], job["priority"]) == (number, "pattern w:*", "force", "all", 9)
    assert job["total"] == job["processed"] == job["loaded"] > 0 and job["eta_ms"] <= 0 and job["error"] == ""
    assert sum(node["done"] for node in job["nodes"]) == job["processed"]
    assert job["submitted_at_ms"] <= job["started_at_ms"] <= job["ended_at_ms"]
    status, jobs, _ = client.warm_list()
    assert status == "OK" and number in [one["id"] for one in jobs]


def test_keys_with_signs_of_json_are_the_keys_that_are_warmed(nodes, client):
    keys = ['a"b\\c', "line\nend\t\x01", "ä€"]
    with nodes[0].l2.client() as redis:
        redis.mset({key: "v" for key in keys})
    number = submit(client, "keys", keys=keys, mode=2)
    job = done(client, number)
    assert job["absent"] == 0 and job["failed"] == 0 and job["loaded"] == job["total"]


def test_json_of_the_application_is_taken_as_it_is(client):
    number = submit(client, json='{"source": {"keys": ["w:1"]}, "target": "self", "dryrun": true}', priority=-7)
    job = done(client, number)
    assert job["target"] == "self" and job["dry_run"] == 1


def test_a_job_is_paused_goes_on_faster_and_another_is_cancelled(client):
    number = submit(client, "pattern", "w:*", rate=1, mode=2)
    assert client.warm_change("pause", number) == ("OK", "")
    until(lambda: job_of(client, number)["state"] == "paused", 10, "it is paused")
    assert client.warm_change("setrate", number, 50000) == ("OK", "")
    assert job_of(client, number)["rate_limit"] == 50000
    assert client.warm_change("resume", number) == ("OK", "")
    done(client, number)
    number = submit(client, "pattern", "w:*", rate=1, mode=2)
    assert client.warm_change("cancel", number) == ("OK", "")
    assert job_of(client, number)["state"] == "cancelled"
    status, error = client.warm_change("pause", number)
    assert status == "REFUSED" and "the job has ended: cancelled" in error


def test_a_standing_job_is_registered_and_cancelled(client):
    status, number, error = client.warm_submit("pattern", "w:*", schedule="08:55 mon-fri", register=True)
    assert (status, error) == ("OK", "") and number > 0
    job = job_of(client, number)
    assert job["state"] == "standing" and "08:55" in job["schedule"] and job["next_at_ms"] > job["submitted_at_ms"]
    status, hot, error = client.warm_submit("hot", n=100, before_expiry_percent=20, register=True)
    assert (status, error) == ("OK", "") and "20" in job_of(client, hot)["schedule"]
    for one in number, hot:
        assert client.warm_change("cancel", one) == ("OK", "")
        assert job_of(client, one)["state"] == "cancelled"
    assert client.warm_submit("pattern", "w:*", schedule="sometimes", register=True)[0] == "REFUSED"


def test_what_cannot_be_is_refused_with_its_place(client):
    assert client.warm_submit("hot", n=0)[0] == "REFUSED" and "$.source.hot" in client.warm_submit("hot", n=0)[2]
    assert client.warm_submit(json="{")[0] == "REFUSED"
    assert client.warm_submit("keys", keys=[b"\xff"])[0] == "REFUSED", "JSON has no such text"
    assert client.warm_submit()[:2] == ("BAD_ARGUMENT", 0)
    assert client.warm_submit("pattern")[0] == "BAD_ARGUMENT"
    status, jobs, error = client.warm_status(1 << 40)
    assert (status, jobs) == ("REFUSED", []) and "no such warm job" in error
    assert client.warm_change("cancel", 1 << 40)[0] == "REFUSED"


def test_hot_keys_come_with_their_bytes(nodes):
    with nodes[0].wire() as conn:
        conn.ask("SET", b"hot\xff", "v")
        for _ in range(600):
            conn.ask("GET", b"hot\xff")
    with Client(f"endpoints=127.0.0.1:{nodes[0].port}", "timeout=10s") as client:
        found = until(lambda: [key for key in client.hot(100)[1] if key["key"] == b"hot\xff"], 20, "it was counted")
        assert found[0]["ns"] == "default" and found[0]["per_s"] > 0 and found[0]["count"] > 0
        assert len(client.hot(1)[1]) == 1


def test_states_have_names():
    assert [functions.terrace_warm_state_name(i).decode() for i in range(len(WARM_STATES))] == WARM_STATES
    assert functions.terrace_warm_state_name(len(WARM_STATES)) == b"?"


class Liar(socketserver.ThreadingTCPServer):
    """A node that answers everything with OK and `body`."""
    allow_reuse_address = daemon_threads = True
    body = b""

    class RequestHandlerClass(socketserver.BaseRequestHandler):
        def handle(self):
            heard = b""
            while piece := self.request.recv(65536):
                heard += piece
                while len(heard) >= native.HEADER.size:
                    _, _, op, _, number, *sizes, _ = native.HEADER.unpack_from(heard)
                    if len(heard) < native.HEADER.size + sum(sizes):
                        break
                    heard = heard[native.HEADER.size + sum(sizes):]
                    body = self.server.body if op in (native.OPS["WARM"], native.OPS["HOT"]) else b""
                    self.request.sendall(native.frame(op, number, body=body, flags=native.ANSWER))

    def __init__(self):
        super().__init__(("127.0.0.1", 0), self.RequestHandlerClass)

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc_info):
        self.shutdown()
        self.server_close()


def test_lists_of_a_node_that_lies_hurt_nobody():
    job = {"id": 7, "state": "running", "source": b"pattern w:*", "total": -1, "rate": float("nan"), "eta_ms": -(1 << 63), "error": b"\0\xff",
           "failures": [{"key": b"\xff", "why": b"", "attempts": 3}], "nodes": [{"node": "f" * 100, "address": "a" * 1000, "yield": float("inf")}]}
    one, key = native.encode("WarmList", {"jobs": [job]}), native.encode("HotList", {"keys": [{"key": b"k" * 300, "ns": "n", "per_s": 1.0}]})
    rng = random.Random(SEED)
    with Liar() as liar, Client(f"endpoints=127.0.0.1:{liar.server_address[1]}", "timeout=10s", "retries=0") as client:
        liar.body = one
        status, jobs, _ = client.warm_status(7)
        assert status == "OK" and [(job["id"], job["state"]) for job in jobs] == [(7, "running")]
        assert len(jobs[0]["nodes"][0]["address"]) == 63 and jobs[0]["failures"][0]["key"] == b"\xff"
        for lie in b"", one * 2, b"\x0a\x00" * 200_000, b"\x0a\xff\xff\xff\xff\x0f", b"no list":
            liar.body = lie
            assert client.warm_status(7)[:2] == ("REFUSED", []), "who asks for one gets one, or none"
        for _ in range(300):
            lie = bytearray(rng.choice([one, one * 3, key, key * 3]))
            for _ in range(rng.randrange(1, 4)):
                lie[rng.randrange(len(lie))] = rng.randrange(256)
            liar.body = bytes(lie[:rng.randrange(len(lie) + 1)])
            for told in client.warm_status(7), client.warm_list(), client.hot():
                assert told[0] in ("OK", "REFUSED"), told


def test_calls_on_a_node_that_is_not_there_say_so():
    with Client("endpoints=127.0.0.1:1", "timeout=300ms") as client:
        for status in (client.warm_submit("hot", n=1)[0], client.warm_list()[0], client.warm_change("pause", 1)[0], client.hot()[0]):
            assert status in ("UNREACHABLE", "DEADLINE"), status
