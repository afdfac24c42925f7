# SPDX-License-Identifier: BSD-3-Clause
"""Jobs of test_queues.py, as the worker processes import them."""

import os

import celery


def add(left, right):
    return left + right


def fail():
    raise RuntimeError("as it should")


def celery_app(port):
    url = f"redis://127.0.0.1:{port}"
    made = celery.Celery("jobs", broker=url + "/2", backend=url + "/3")
    made.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)

    @made.task(name="jobs.multiply")
    def multiply(left, right):
        return left * right

    @made.task(name="jobs.divide")
    def divide(left, right):
        return left / right
    return made


app = celery_app(os.environ.get("PORT", "6379"))
