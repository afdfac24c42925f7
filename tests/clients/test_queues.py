# SPDX-License-Identifier: BSD-3-Clause
"""python3-rq and python3-celery: jobs put in at the writer, done by a real worker process at the reader."""

import os
import signal
import subprocess
import sys

import pytest
import redis
import rq
from rq.job import Job

from harness import until
from target import HERE

# What is put in must be importable by the worker.
sys.path.insert(0, str(HERE))
import jobs  # noqa: E402


@pytest.fixture
def worker(target):
    """Starts worker processes of the test and ends them."""
    started = []

    def start(*argv, **env):
        log = open(target.stage.folder / f"worker{len(started)}.log", "ab")
        process = subprocess.Popen([sys.executable, *map(str, argv)], cwd=HERE, stdout=log, stderr=log,
                                   env={**os.environ, "PORT": str(target.read.port), "PYTHONPATH": str(HERE), **env})
        log.close()
        started.append(process)
        return process
    yield start
    for process in started:
        process.kill()
        process.wait()


def test_rq(target, worker):
    writer = redis.Redis(port=target.write.port)
    queue, low = rq.Queue("high", connection=writer), rq.Queue("low", connection=writer)
    first = low.enqueue(jobs.add, 1, 2)
    second = queue.enqueue(jobs.add, "a", "b", result_ttl=100)
    after = queue.enqueue(jobs.add, 10, 20, depends_on=second)
    broken = queue.enqueue(jobs.fail, retry=rq.Retry(max=1))
    assert low.get_job_ids() == [first.id] and queue.count == 2 and after.get_status() == "deferred"
    # It waits with BLPOP when there is nothing to do, and listens to pubsub for orders.
    process = worker("-m", "rq.cli", "worker", "high", "low", "--url", f"redis://127.0.0.1:{target.read.port}",
                     "--worker-class", "rq.SimpleWorker", "--name", "worker", "--quiet")
    until(lambda: after.get_status(refresh=True) == "finished" and first.get_status(refresh=True) == "finished", 20,
          "the jobs are done")
    assert [Job.fetch(job.id, connection=writer).result for job in (first, second, after)] == [3, "ab", 30]
    until(lambda: broken.get_status(refresh=True) == "failed", 10, "the broken job is given up")
    assert broken.id in queue.failed_job_registry
    late = queue.enqueue(jobs.add, 4, 4)
    until(lambda: late.get_status(refresh=True) == "finished", 10, "a job for a worker that waits")
    assert [worker.name for worker in rq.Worker.all(connection=writer)] == ["worker"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    until(lambda: rq.Worker.all(connection=writer) == [], 5, "the worker has signed off")


def test_celery(target, worker):
    app = jobs.celery_app(target.write.port)
    worker("-m", "celery", "-A", "jobs", "worker", "--pool", "solo", "--loglevel", "error", "--without-heartbeat",
           "--without-gossip", "--without-mingle")
    assert app.send_task("jobs.multiply", (6, 7)).get(timeout=20) == 42
    results = [app.send_task("jobs.multiply", (i, i)) for i in range(10)]
    assert [result.get(timeout=20) for result in results] == [i * i for i in range(10)]
    with pytest.raises(ZeroDivisionError):
        app.send_task("jobs.divide", (1, 0)).get(timeout=20)
    assert app.control.ping(timeout=2), "answers by pubsub"
    app.control.shutdown()
    app.close()
