# SPDX-License-Identifier: BSD-3-Clause
"""warm -- what the journeys of warming share: jobs, their states, and what L2 was asked."""

import json

from harness import until

ENDED = ("done", "failed", "cancelled")


def fields(reply):
    """A map of RESP2: flat pairs, with lists of the same inside."""
    names = [name.decode() for name in reply[::2]]
    values = [value.decode("latin-1") if isinstance(value, bytes) else value for value in reply[1::2]]
    answer = dict(zip(names, values))
    for name in ("failures", "nodes"):
        answer[name] = [fields(inner) for inner in answer.get(name, [])]
    return answer


def fill(redis_server, nodes, prefix, count, value="x" * 50):
    """Keys in L2, of which these nodes have heard: the news of a write would end what is read before it comes."""
    redis_server.client().mset({f"{prefix}{i}": value for i in range(count)})
    for node in nodes:
        node.catch_up()


def submit(node, source, **options):
    """The id of a new job."""
    with node.client() as client:
        return client.execute_command("CACHE.WARM", "SUBMIT", json.dumps({"source": source, **options}))


def say(node, *words):
    with node.client() as client:
        return client.execute_command("CACHE.WARM", *words)


def status(node, job):
    with node.client() as client:
        return {"nodes": [], "failures": [], **fields(client.execute_command("CACHE.WARM", "STATUS", job))}


def jobs(node):
    with node.client() as client:
        return [fields(reply) for reply in client.execute_command("CACHE.WARM", "LIST")]


def ended(node, job, deadline_s=20):
    """Its last status."""
    seen = {}

    def has_ended():
        seen.update(status(node, job))
        return seen["state"] in ENDED
    until(has_ended, deadline_s, f"job {job} ends: {seen}", every_s=0.02)
    return seen


def run(node, source, **options):
    """Submits, waits, and gives the last status."""
    return ended(node, submit(node, source, **options))


def joined(redis, count):
    """So many nodes take part in warming."""
    with redis.client(db=15) as client:
        until(lambda: client.zcard("terrace:warm:nodes") == count, 15, f"{count} nodes take part")
