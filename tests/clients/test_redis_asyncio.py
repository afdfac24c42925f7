# SPDX-License-Identifier: BSD-3-Clause
"""python3-redis with asyncio."""

import asyncio

import pytest
import redis.asyncio as redis
from redis.asyncio.connection import HiredisParser, PythonParser
from redis.exceptions import WatchError

from flows import RELEASE

PARSERS = {"python": PythonParser, "hiredis": HiredisParser}


@pytest.fixture(params=sorted(PARSERS))
def run(request, target):
    """Runs a coroutine function of (writer, reader)."""
    def run_it(flow):
        async def whole():
            pools = [redis.ConnectionPool(port=server.port, parser_class=PARSERS[request.param], decode_responses=True)
                     for server in (target.write, target.read)]
            try:
                clients = [redis.Redis(connection_pool=pool) for pool in pools]
                return await asyncio.wait_for(flow(*clients), 20)
            finally:
                for pool in pools:
                    await pool.disconnect()
        return asyncio.run(whole())
    return run_it


async def eventually(condition, deadline_s=5):
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + deadline_s
    while not await condition():
        assert loop.time() < ends_at, "not in time"
        await asyncio.sleep(0.005)


async def is_blocked(client, count):
    return (await client.info("clients"))["blocked_clients"] == count


def test_many_tasks_share_a_pool(run):
    async def flow(writer, reader):
        async def task(i):
            await writer.set(f"task:{i}", i)
            assert await writer.get(f"task:{i}") == str(i)
        await asyncio.gather(*(task(i) for i in range(100)))
        assert len([name async for name in reader.scan_iter("task:*")]) == 100
        await eventually(lambda: all_there(reader))

    async def all_there(reader):
        return await reader.mget([f"task:{i}" for i in range(100)]) == [str(i) for i in range(100)]
    run(flow)


def test_locks(run):
    async def flow(writer, reader):
        lock = writer.lock("lock", timeout=20)
        assert await lock.acquire()
        assert not await reader.lock("lock", timeout=20).acquire(blocking=False)
        waiting = asyncio.create_task(reader.lock("lock", timeout=20, sleep=0.005, blocking_timeout=10).acquire())
        await lock.release()
        assert await waiting
        assert await writer.eval(RELEASE, 1, "lock", "not mine") == 0
    run(flow)


def test_pipelines_and_watch(run):
    async def flow(writer, reader):
        async with writer.pipeline(transaction=True) as pipe:
            assert await pipe.set("a", 1).incr("a").get("a").execute() == [True, 2, "2"]
        async with writer.pipeline() as pipe:
            await pipe.watch("a")
            assert await pipe.get("a") == "2"
            await reader.set("a", 9)
            pipe.multi()
            pipe.set("a", 3)
            with pytest.raises(WatchError):
                await pipe.execute()
        assert await reader.get("a") == "9"
    run(flow)


def test_queues_and_a_waiter_that_is_cancelled(run):
    async def flow(writer, reader):
        waiting = asyncio.create_task(reader.blpop("jobs", 10))
        await eventually(lambda: is_blocked(reader, 1))
        await writer.rpush("jobs", "first")
        assert await waiting == ("jobs", "first")
        waiting = asyncio.create_task(reader.blpop("jobs", 10))
        await eventually(lambda: is_blocked(reader, 1))
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually(lambda: is_blocked(reader, 0))
        await writer.rpush("jobs", "second")
        assert await reader.lpop("jobs") == "second", "the one who left took it along"
    run(flow)


def test_messages(run):
    async def flow(writer, reader):
        async with reader.pubsub() as pubsub:
            await pubsub.subscribe("news")
            await pubsub.psubscribe("n?ws")
            for kind in "subscribe", "psubscribe":
                assert (await pubsub.get_message(timeout=5))["type"] == kind
            assert await writer.publish("news", "hello") == 2
            kinds = [(await pubsub.get_message(timeout=5))["type"] for _ in range(2)]
            assert sorted(kinds) == ["message", "pmessage"]
    run(flow)
